"""``python -m benchmarks.growth``: an empty ledger beside a large one; ``make bench-growth`` serves it.

Two databases of one server take turns: one has the opening postings alone, the other was filled through
``transfer_many()`` first. Both are written to at the service level and read over HTTP, on the wallet
that has the most entries.
"""

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from urllib.parse import quote

from benchmarks.candidates.http import OursHttp
from benchmarks.candidates.service import Ours, is_service
from benchmarks.database import Server
from benchmarks.turns import Turn, percentile, summarize
from benchmarks.workload import HOT, Case

NEEDED = 0.85
LEGS = 2
# Mostly wallets that do not wait for each other; every fifth turn is the one that makes a wallet busy.
FILL = [Case("service", rung, 2, 1_000) for rung in (*["disjoint"] * 4, "zipfian")]
FILL_SECONDS = 20
READS = 20
# What is read of an answer without an end: a statement streams for as long as its period is.
PAGE_BYTES = 65_536


@dataclass(slots=True)
class Ledger:
    """One of the two, with what was measured of it; reads are in ms, by what was read."""

    service: Ours
    web: OursHttp
    turns: dict[Case, list[Turn]] = field(default_factory=dict)
    reads: dict[str, list[float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.service.name


def main() -> int:
    options = _options()
    server = Server.of_environment()
    with ExitStack() as stack:
        stack.callback(server.close)
        settings = server.require_durable()
        print(", ".join(f"{name} {value}" for name, value in settings.items()), flush=True)
        ledgers = [_ledger(name, options, server) for name in ("empty", "filled")]
        for ledger in ledgers:
            stack.callback(ledger.web.close)
            ledger.web.prepare()
        empty, filled = ledgers
        middle, made = fill(filled.service, options.entries)
        for ledger in ledgers:
            with server.connect(ledger.service.database) as connection:
                connection.execute("VACUUM ANALYZE")
        server.checkpoint()
        sizes = [server.footprint(ledger.service.database).stored for ledger in ledgers]
        _take_turns(ledgers, options)
        _read(ledgers, middle)
        violations = {ledger.name: ledger.service.check() for ledger in ledgers}
    print()
    print("\n".join(_markdown(empty, filled, sizes, made, violations)))
    return 1 if any(violations.values()) else 0


def fill(service: Ours, entries: int) -> tuple[datetime.datetime, int]:
    """Bring a ledger to so many entries through ``transfer_many()``.

    Returns when half of them were there, and how many transfers were made.

    Raises ``RuntimeError`` where a transfer is refused. Slow on purpose: every rule and trigger judges
    every entry, as it would in years of use.
    """
    began, made, cases = time.monotonic(), 0, cycle(FILL)
    middle = datetime.datetime.now(datetime.UTC)
    while made * LEGS < entries:
        # A short turn at the end, so that a small ledger does not become a large one.
        seconds = FILL_SECONDS
        if made:
            left = (entries / LEGS - made) / (made / (time.monotonic() - began))
            seconds = max(1, min(seconds, round(left)))
        elif entries < 1_000_000:
            seconds = 1
        turn = service.turn(next(cases), seconds)
        if turn.problems:
            raise RuntimeError(f"a transfer of the filling was refused: {dict(turn.problems)}")
        made += turn.made
        if made * LEGS <= entries / 2:
            middle = datetime.datetime.now(datetime.UTC)
        told = f"{made * LEGS:,} of {entries:,} entries, {turn.rate * LEGS:,.0f}/s"
        print(f"filling: {told}", flush=True)
    return middle, made


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.growth", description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000, help="of the large ledger")
    parser.add_argument("--seconds", type=int, default=5, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5, help="whose median is told")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--accounts", type=int, default=2_000)
    return parser.parse_args()


def _ledger(name: str, options: argparse.Namespace, server: Server) -> Ledger:
    service = Ours(
        name,
        "benchmarks.adapters.ours:Ours",
        server=server,
        accounts=options.accounts,
        processes=options.processes,
        takes=is_service,
    )
    return Ledger(service, OursHttp(service, server=server, accounts=options.accounts))


def _take_turns(ledgers: Sequence[Ledger], options: argparse.Namespace) -> None:
    cases = [
        Case("service", "disjoint", options.callers),
        Case("service", "zipfian", options.callers),
        Case("service", "disjoint", 2, 1_000),
    ]
    for number in range(options.rounds):
        for case in cases:
            for ledger in ledgers:
                turn = ledger.service.turn(case, options.seconds)
                ledger.turns.setdefault(case, []).append(turn)
                mark = f"  (!) {dict(turn.problems)}" if turn.problems else ""
                told = f"{ledger.name}, {case}"
                print(f"round {number + 1}  {told:60} {turn.rate:9,.0f}/s{mark}", flush=True)


def _read(ledgers: Sequence[Ledger], middle: datetime.datetime) -> None:
    """The same reads of both, one after the other; the first of each is not counted."""
    for count in range(READS + 1):
        for ledger in ledgers:
            token = ledger.service.facts["tokens"][HOT]
            for name, path in _pages(ledger.service.facts["wallets"][HOT], middle).items():
                began = time.monotonic()
                status = ledger.web.web.fetch(path, token, PAGE_BYTES)
                elapsed = (time.monotonic() - began) * 1000
                if status == 200 and count:
                    ledger.reads.setdefault(name, []).append(elapsed)
                elif status != 200 and not count:
                    print(f"{ledger.name}, {name}: skipped, HTTP {status}", flush=True)


def _pages(wallet: str, middle: datetime.datetime) -> dict[str, str]:
    base = f"/api/wallet/wallets/{wallet}"
    at = quote(middle.isoformat(timespec="microseconds").replace("+00:00", "Z"))
    day = middle.date().isoformat()
    return {
        "history page": "/api/transactions/transactions/",
        "entries page": f"{base}/entries/",
        "balance now": f"{base}/balance/",
        "balance at a time": f"{base}/balance/?at={at}",
        "statement, first 64 KB": f"{base}/statement/?from={day}&to={day}&format=json",
    }


def _markdown(
    empty: Ledger,
    filled: Ledger,
    sizes: Sequence[int],
    made: int,
    violations: dict[str, list[str]],
) -> Iterator[str]:
    yield f"Stored before the turns: empty {sizes[0]:,} bytes, filled {sizes[1]:,} bytes:"
    yield f"{(sizes[1] - sizes[0]) / made:,.0f} bytes for each of {made:,} transfers."
    yield ""
    yield "| transfers | empty /s | filled /s | ratio | empty p99 ms | filled p99 ms | met |"
    yield "| --- | --: | --: | --: | --: | --: | --- |"
    for case, turns in empty.turns.items():
        one = summarize(empty.name, case, turns)
        two = summarize(filled.name, case, filled.turns[case])
        mark = " (!)" if one.is_marked or two.is_marked else ""
        ratio = two.rate / one.rate if one.rate else 0.0
        met = "yes" if ratio >= NEEDED and not mark else "no"
        yield (
            f"| {case}{mark} | {one.rate:,.0f} | {two.rate:,.0f} | {ratio:.2f}"
            f" | {one.p99:.1f} | {two.p99:.1f} | {met} |"
        )
    yield ""
    yield "| reads of the busiest wallet | empty ms | filled ms | filled p95 ms |"
    yield "| --- | --: | --: | --: |"
    for name, times in filled.reads.items():
        other = statistics.median(empty.reads[name]) if name in empty.reads else float("nan")
        yield (
            f"| {name} | {other:.1f} | {statistics.median(times):.1f} | {percentile(times, 95):.1f} |"
        )
    yield ""
    for name, found in violations.items():
        yield f"- {name}: " + (f"violated: {found[0]}" if found else "the books agree")


if __name__ == "__main__":
    sys.exit(main())
