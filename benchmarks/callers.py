"""A load process: concurrent callers of one candidate, as threads.

Run by the runner as ``python -m benchmarks.callers MODULE:ADAPTER``; see ``benchmarks.orders``.
"""

import gc
import importlib
import os
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.adapters import Adapter
from benchmarks.orders import obey
from benchmarks.workload import draw

# A caller that meets nothing but failures gives up: a closed door needs no further knocking.
PATIENCE = 20
# A call that takes longer than this is given up by the runner, and told.
STUCK_SECONDS = 60.0


@dataclass(slots=True)
class Tally:
    """What one caller did."""

    warmed: int = 0
    posted: int = 0
    latencies: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """What one caller is to do."""

    rung: str
    caller: int
    callers: int
    size: int
    accounts: int


class Crew:
    """The callers of this process."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._threads: list[threading.Thread] = []
        self._tallies: list[Tally] = []
        self._go = threading.Event()
        self._start = self._until = 0.0

    def muster(
        self, rung: str, first: int, count: int, callers: int, size: int, accounts: int
    ) -> None:
        """Start ``count`` of all ``callers``, and let each make one call, which is not measured."""
        self._go.clear()
        self._tallies = [Tally() for _ in range(count)]
        ready = threading.Barrier(count + 1)
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(Task(rung, first + index, callers, size, accounts), tally, ready),
                daemon=True,
            )
            for index, tally in enumerate(self._tallies)
        ]
        for thread in self._threads:
            thread.start()
        ready.wait()

    def run(self, start: float, seconds: float) -> dict[str, Any]:
        """Let the mustered callers work from ``start`` on (``time.monotonic()``), for so many seconds."""
        self._start, self._until = start, start + seconds
        used = time.process_time()
        self._go.set()
        problems: Counter[str] = Counter()
        for thread in self._threads:
            thread.join(max(0.0, self._until + STUCK_SECONDS - time.monotonic()))
            problems["did not return"] += thread.is_alive()
        for tally in self._tallies:
            problems.update(tally.problems)
        elapsed = max(seconds, max(tally.ended for tally in self._tallies) - start)
        return {
            "posted": sum(tally.posted for tally in self._tallies),
            "made": sum(tally.posted + tally.warmed for tally in self._tallies),
            "seconds": elapsed,
            "latencies": [ms for tally in self._tallies for ms in tally.latencies],
            "problems": +problems,
            "cpu": (time.process_time() - used) / elapsed,
        }

    def _work(self, task: Task, tally: Tally, ready: threading.Barrier) -> None:
        chance = random.Random(os.urandom(8))
        try:
            caller = self._adapter.caller()
        except Exception as error:
            tally.problems[f"no connection: {type(error).__name__}"] += 1
            tally.ended = time.monotonic()
            ready.wait()
            return

        def call() -> int:
            transfers = [
                draw(
                    task.rung,
                    caller=task.caller,
                    callers=task.callers,
                    accounts=task.accounts,
                    chance=chance,
                )
                for _ in range(task.size)
            ]
            try:
                refused = caller.post(transfers)
            except Exception as error:
                refused = [type(error).__name__] * len(transfers)
            tally.problems.update(refused)
            return len(transfers) - len(refused)

        try:
            tally.warmed = call()
            ready.wait()
            self._go.wait()
            time.sleep(max(0.0, self._start - time.monotonic()))
            failures = 0
            began = time.monotonic()
            while began < self._until and failures < PATIENCE:
                posted = call()
                ended = time.monotonic()
                tally.posted += posted
                tally.latencies.append((ended - began) * 1000)
                failures = 0 if posted else failures + 1
                began = ended
        finally:
            tally.ended = time.monotonic()
            caller.close()


def main(name: str) -> None:
    """Obey the runner's orders for the adapter ``MODULE:CLASS``."""
    module, _, attribute = name.partition(":")
    adapter: Adapter = getattr(importlib.import_module(module), attribute)()
    # As this project's web server does; here for every candidate.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    crew = Crew(adapter)
    obey(
        {
            "prepare": adapter.prepare,
            "open": adapter.open,
            "check": adapter.check,
            "muster": crew.muster,
            "run": crew.run,
        }
    )


if __name__ == "__main__":
    main(sys.argv[1])
