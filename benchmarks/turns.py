"""What was measured: one candidate's turn at one case, and the turns of all rounds together."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.workload import Case


@dataclass(slots=True)
class Turn:
    """One turn. ``latencies`` are those of calls, in ms; ``problems`` is what was not posted, by name.

    ``posted`` counts transfers within ``seconds``, ``made`` those before them, too, which have warmed the
    caches and take room like any other. ``cpu`` is the share of one core that the busiest load process
    used: near 1 it was the load, and not the candidate, that set the pace.
    """

    posted: int
    seconds: float
    latencies: list[float]
    made: int
    cpu: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    wal: int = 0
    note: str = ""

    @property
    def rate(self) -> float:
        return self.posted / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """The turns of one candidate at one case: medians over rounds, bytes over all of them.

    ``least_p50`` is that of the round that was disturbed least.
    """

    candidate: str
    case: Case
    rates: tuple[float, ...]
    p50: float
    least_p50: float
    p99: float
    made: int
    stored: float
    wal: float
    cpu: float
    problems: dict[str, int]
    note: str

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def is_marked(self) -> bool:
        """Whether something was refused or failed, so that the rate is not that of the case."""
        return bool(self.problems)

    def as_json(self) -> dict[str, Any]:
        return {
            "candidate": self.candidate,
            "level": self.case.level,
            "rung": self.case.rung,
            "callers": self.case.callers,
            "size": self.case.size,
            "transfers": self.made,
            "transfers_per_second": round(self.rate, 1),
            "rounds": [round(rate, 1) for rate in self.rates],
            "p50_ms": None if math.isnan(self.p50) else round(self.p50, 3),
            "p99_ms": None if math.isnan(self.p99) else round(self.p99, 3),
            "stored_bytes_per_transfer": round(self.stored),
            "wal_bytes_per_transfer": round(self.wal),
            "load_cpu": round(self.cpu, 2),
            "problems": self.problems,
            "note": self.note,
        }


def summarize(candidate: str, case: Case, turns: Sequence[Turn]) -> Result:
    """The medians of a candidate's rounds at one case."""
    made = sum(turn.made for turn in turns)
    problems: Counter[str] = Counter()
    for turn in turns:
        problems += turn.problems
    return Result(
        candidate=candidate,
        case=case,
        rates=tuple(turn.rate for turn in turns),
        least_p50=min(percentile(turn.latencies, 50) for turn in turns),
        p50=statistics.median(percentile(turn.latencies, 50) for turn in turns),
        p99=statistics.median(percentile(turn.latencies, 99) for turn in turns),
        made=made,
        stored=sum(turn.stored for turn in turns) / max(made, 1),
        wal=sum(turn.wal for turn in turns) / max(made, 1),
        cpu=max(turn.cpu for turn in turns),
        problems=dict(problems),
        note=next((turn.note for turn in turns if turn.note), ""),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; not a number where nothing was measured."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]
