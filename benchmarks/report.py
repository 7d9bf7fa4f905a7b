"""The report of a run as Markdown, and as JSON."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.goals import Figures, Goal, judge
from benchmarks.turns import Result
from benchmarks.workload import DELIVERY, INTAKE, Case

# A load process this busy sets the pace itself.
BUSY = 0.85


@dataclass(slots=True)
class Report:
    """Everything a run has to tell."""

    settings: Mapping[str, str]
    results: list[Result] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    violations: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether all books agree at the end."""
        return not any(self.violations.values())

    def markdown(self) -> str:
        return "\n".join(
            [
                f"Python {platform.python_version()}, {platform.machine()}; "
                + ", ".join(f"{name} {value}" for name, value in self.settings.items()),
                "",
                *self._table(),
                "",
                *self._notes(),
                "",
                *_goals(judge(self.results)),
            ]
        )

    def write_json(self, file: Path) -> None:
        """Everything that the Markdown says, for programs."""
        goals = [
            {
                "goal": goal.text,
                "needed": goal.needed,
                "measured": goal.counted,
                "is_met": goal.is_met,
            }
            for goal in judge(self.results)
        ]
        told = {
            "settings": dict(self.settings),
            "results": [result.as_json() for result in self.results],
            "unavailable": self.unavailable,
            "violations": self.violations,
            "goals": goals,
        }
        file.write_text(json.dumps(told, indent=2) + "\n")

    def _table(self) -> Iterator[str]:
        figures = Figures(self.results)
        yield (
            "| case | candidate | per second | ratio | p50 ms | p99 ms | bytes stored | WAL bytes"
            " | load CPU |"
        )
        yield "| --- | --- | --: | --: | --: | --: | --: | --: | --: |"
        for case in self._cases():
            floor = figures.floor(case)
            for result in (each for each in self.results if each.case == case):
                ratio = f"{result.rate / floor.rate:.2f}" if floor and floor.rate else ""
                mark = " (!)" if result.is_marked else ""
                cpu = f"{result.cpu:.2f}" if result.cpu else ""
                yield (
                    f"| {case} | {result.candidate}{mark} | {result.rate:,.0f} | {ratio}"
                    f" | {result.p50:.2f} | {result.p99:.2f} | {result.stored:,.0f}"
                    f" | {result.wal:,.0f} | {cpu} |"
                )

    def _cases(self) -> list[Case]:
        return list(dict.fromkeys(result.case for result in self.results))

    def _notes(self) -> Iterator[str]:
        yield (
            "Ratios are to L0 with as many callers on the same rung, for batches to L0's best there, over"
            " HTTP to the bare program, and for the intake of webhooks to the bare program's single"
            " transfers, or without it to our own."
            " Counted are transfers; at the intake events that were accepted, of deliveries events"
            " that arrived, with the time from their transfer's commit as latency, and the receiver's"
            " CPU. Latencies are those of calls. Load CPU is the share of a core that the busiest load"
            " process used: at the service level the callers are part of what is measured, over"
            " HTTP they are not. Room is taken in steps of many pages, so short turns tell little of"
            " the bytes stored."
        )
        for result in self.results:
            where = f"- {result.candidate}, {result.case}"
            if result.is_marked:
                told = ", ".join(f"{name} x{count}" for name, count in result.problems.items())
                word = "not exactly once" if result.case.level == DELIVERY else "not posted"
                yield f"{where}: (!) {word}: {told}"
            if result.note:
                yield f"{where}: {result.note}"
            if result.case.level in {"HTTP", INTAKE} and result.cpu > BUSY:
                yield f"{where}: the client was the bottleneck"
        for name, reason in self.unavailable.items():
            yield f"- {name}: skipped, {reason}"
        for name, found in self.violations.items():
            told = f"{len(found)} violations, first: {found[0]}" if found else "the books agree"
            yield f"- {name}: {told}"


def _goals(goals: Sequence[Goal]) -> Iterator[str]:
    yield "| goal | needed | measured | met |"
    yield "| --- | --: | --: | --- |"
    for goal in goals:
        sign = "≤" if goal.is_ceiling else "≥"
        measured = "" if goal.measured is None else f"{goal.measured:,.2f}"
        measured = "(!)" if measured == "nan" else measured
        met = {True: "yes", False: "no", None: "not measured"}[goal.is_met]
        yield f"| {goal.text} | {sign} {goal.needed:,} | {measured} | {met} |"
    yield "| rate at 10 million entries, of the empty ledger's | ≥ 0.85 | | make bench-growth |"
