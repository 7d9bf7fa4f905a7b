"""``python -m benchmarks``: all candidates in turns, on one PostgreSQL; ``make bench`` gives it one."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from benchmarks.candidates import Candidate, Unavailable
from benchmarks.candidates.floor import BATCH, Floor
from benchmarks.candidates.http import Bare, NaiveHttp, OursHttp
from benchmarks.candidates.service import (
    Called,
    Hordak,
    Ours,
    PgLedger,
    Ungrouped,
    is_service,
    is_single,
)
from benchmarks.candidates.webhooks import BURST, RECEIVERS, STEADY, Delivery, Intake
from benchmarks.database import Server
from benchmarks.mail import AGAIN, NEW
from benchmarks.orders import LoadFailed
from benchmarks.report import Report
from benchmarks.turns import Turn, summarize
from benchmarks.workload import DELIVERY, INTAKE, RUNGS, Case

CALLERS = (1, 8, 32, 128)
# How many of the largest numbers of callers meet the rungs with contention.
CROWDS = 2
BATCHES = (100, 1_000)
BATCH_CALLERS = 2
CONNECTIONS = 32
BATCH_CONNECTIONS = 8
C = TypeVar("C", bound=Called)
NAMES = (
    *("l0", "l0x100", "ours", "naive", "hordak", "pgledger", "bare", "http"),
    *("naive-http", "intake", "delivery"),
)


def main() -> int:
    options = _options()
    server = Server.of_environment()
    with ExitStack() as stack:
        stack.callback(server.close)
        settings = server.require_durable()
        print(", ".join(f"{name} {value}" for name, value in settings.items()), flush=True)
        report = Report(settings)
        candidates = _choose(options, server)
        for candidate in candidates:
            stack.callback(candidate.close)
        ready = _prepare(candidates, report)
        server.checkpoint()
        turns = _run(ready, _plan(options), options, server, report)
        report.results = [
            summarize(name, case, taken) for (name, case), taken in turns.items() if taken
        ]
        for candidate in {each.database: each for each in reversed(ready)}.values():
            report.violations[candidate.name] = candidate.check()
    print("\n" + report.markdown())
    if options.json:
        report.write_json(options.json)
    return 0 if report.is_sound else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3, help="whose median is told")
    parser.add_argument("--candidates", type=_words(NAMES), default=list(NAMES))
    parser.add_argument("--ladder", type=_words(RUNGS), default=list(RUNGS))
    parser.add_argument("--callers", type=_numbers, default=list(CALLERS))
    parser.add_argument("--processes", type=int, default=2, help="that the callers are threads of")
    parser.add_argument("--accounts", type=int, default=2_000, help="that pay each other")
    parser.add_argument("--pgledger", type=Path, nargs="+", metavar="FILE", default=[])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    options = parser.parse_args()
    if options.quick:
        options.seconds = options.rounds = 1
    return options


def _words(allowed: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        words = text.split(",")
        unknown = [word for word in words if word not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown)}: choose from {','.join(allowed)}"
            )
        return words

    return parse


def _numbers(text: str) -> list[int]:
    return sorted({int(word) for word in text.split(",")})


def _choose(options: argparse.Namespace, server: Server) -> list[Candidate]:
    """The wanted candidates, in the order of their turns."""
    accounts, processes = options.accounts, options.processes

    def build(kind: type[C], name: str, adapter: str, takes: Callable[[Case], bool]) -> C:
        return kind(
            name,
            f"benchmarks.adapters.{adapter}",
            server=server,
            accounts=accounts,
            processes=processes,
            takes=takes,
        )

    ours = build(Ours, "ours", "ours:Ours", is_service)
    naive = build(Called, "naive ORM", "naive:Naive", is_single)
    pgledger = build(PgLedger, "pgledger", "pgledger:PgLedger", is_single)
    pgledger.files = options.pgledger
    found: dict[str, list[Candidate]] = {
        "l0": [Floor(server, accounts, 1)],
        "l0x100": [Floor(server, accounts, BATCH)],
        "ours": [ours, Ungrouped(ours, server=server, accounts=accounts)],
        "naive": [naive],
        "hordak": [build(Hordak, "hordak", "hordak:Hordak", is_single)],
        "pgledger": [pgledger],
        "bare": [Bare(server, accounts)],
        "http": [OursHttp(ours, server=server, accounts=accounts)],
        "naive-http": [NaiveHttp(naive, accounts)],
        "intake": [Intake(server)],
        "delivery": [Delivery(server)],
    }
    return [each for name in NAMES if name in options.candidates for each in found[name]]


def _prepare(candidates: Sequence[Candidate], report: Report) -> list[Candidate]:
    """Those that can run; the report is told why the others cannot."""
    ready: list[Candidate] = []
    for candidate in candidates:
        began = time.monotonic()
        try:
            candidate.prepare()
        except (Unavailable, LoadFailed) as error:
            report.unavailable[candidate.name] = str(error)
            print(f"{candidate.name}: skipped, {error}", flush=True)
        else:
            ready.append(candidate)
            print(f"{candidate.name}: ready in {time.monotonic() - began:.0f} s", flush=True)
    return ready


def _plan(options: argparse.Namespace) -> list[Case]:
    """All callers on the first rung, the largest crowds on each, then batches, HTTP and webhooks."""
    calm, *contended = options.ladder
    cases = [Case("service", calm, callers) for callers in options.callers]
    cases += [
        Case("service", rung, callers)
        for rung in contended
        for callers in options.callers[-CROWDS:]
    ]
    cases += [Case("service", calm, BATCH_CALLERS, size) for size in BATCHES]
    cases.append(Case("HTTP", calm, CONNECTIONS))
    cases.append(Case("HTTP", calm, BATCH_CONNECTIONS, BATCH))
    cases += [Case(INTAKE, rung, CONNECTIONS) for rung in (NEW, AGAIN)]
    cases.append(Case(DELIVERY, STEADY, RECEIVERS))
    cases += [Case(DELIVERY, BURST, receivers) for receivers in (1, RECEIVERS)]
    return cases


def _run(
    candidates: Sequence[Candidate],
    cases: Sequence[Case],
    options: argparse.Namespace,
    server: Server,
    report: Report,
) -> dict[tuple[str, Case], list[Turn]]:
    """Each round goes through all cases, and at each case the candidates take turns."""
    turns: dict[tuple[str, Case], list[Turn]] = {}
    for number in range(options.rounds):
        for case in cases:
            for candidate in candidates:
                label = f"{candidate.name}, {case}"
                if not candidate.takes(case) or label in report.unavailable:
                    continue
                try:
                    turn = _measure(candidate, case, options.seconds, server)
                except (Unavailable, LoadFailed) as error:
                    report.unavailable[label] = str(error)
                    print(f"{label}: skipped, {error}", flush=True)
                    continue
                turns.setdefault((candidate.name, case), []).append(turn)
                mark = f"  (!) {dict(turn.problems)}" if turn.problems else ""
                print(f"round {number + 1}  {label:60} {turn.rate:9,.0f}/s{mark}", flush=True)
    return turns


def _measure(candidate: Candidate, case: Case, seconds: int, server: Server) -> Turn:
    before = server.footprint(candidate.database)
    turn = candidate.turn(case, seconds)
    after = server.footprint(candidate.database)
    turn.stored, turn.wal = after.stored - before.stored, after.wal - before.wal
    return turn


if __name__ == "__main__":
    sys.exit(main())
