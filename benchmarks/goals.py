"""The goals of the project, as ratios of one run, and whether they are met."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.turns import Result
from benchmarks.workload import DELIVERY, INTAKE, Case

STORED_BYTES = 1_200
# Latencies of one caller scatter by this much on a quiet machine.
NOISE = 1.1


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal. ``measured`` is None where the run has no figures for it, and not a number where it
    has some that do not count."""

    text: str
    needed: float
    measured: float | None
    is_ceiling: bool = False

    @property
    def counted(self) -> float | None:
        """What was measured, where that is a figure of the case."""
        return None if self.measured is None or math.isnan(self.measured) else self.measured

    @property
    def is_met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.needed if self.is_ceiling else self.measured >= self.needed


class Figures:
    """The results of a run, to be asked for by candidate and case."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = {(result.candidate, result.case): result for result in results}

    def at(
        self,
        candidate: str,
        *,
        rung: str = "disjoint",
        callers: int | None = None,
        size: int = 1,
        level: str = "service",
    ) -> Result | None:
        """The best result that fits; with ``callers``, the one with so many."""
        fitting = [
            result
            for (name, case), result in self._results.items()
            if name == candidate
            and (case.level, case.rung, case.size) == (level, rung, size)
            and callers in {None, case.callers}
        ]
        return max(fitting, key=lambda result: result.rate, default=None)

    def floor(self, case: Case) -> Result | None:
        """What a case is compared with: L0 on the same rung, or the bare program; what is taken in by
        webhook with a single transfer over HTTP, best the bare program's."""
        if case.level == DELIVERY:
            return None
        if case.level == INTAKE:
            return self._single("bare HTTP") or self._single("ours HTTP")
        if case.level == "HTTP":
            return self._results.get(("bare HTTP", case))
        same = self._results.get(("L0", Case("service", case.rung, case.callers)))
        return same or self.at("L0", rung=case.rung)

    def _single(self, candidate: str) -> Result | None:
        fitting = (
            result
            for (name, case), result in self._results.items()
            if name == candidate and case.size == 1
        )
        return next(fitting, None)


def judge(results: Sequence[Result]) -> list[Goal]:
    """Every goal that one run can measure; growth has a benchmark of its own."""
    figures = Figures(results)
    at, best = figures.at, figures.at("L0")
    return [
        Goal("single at 128, of L0's best", 0.8, _rates(at("ours", callers=128), best)),
        Goal("single at 32, of L0's best", 0.5, _rates(at("ours", callers=32), best)),
        *(
            Goal(
                f"single at {callers}, of L0 at {callers}",
                0.3,
                _rates(at("ours", callers=callers), at("L0", callers=callers)),
            )
            for callers in (8, 1)
        ),
        Goal("best single, of pgledger's best", 2.5, _rates(at("ours"), at("pgledger"))),
        Goal("best single, of hordak's best", 7, _rates(at("ours"), at("hordak"))),
        Goal("best single, of the naive ORM's best", 20, _rates(at("ours"), at("naive ORM"))),
        Goal("batches of 1,000, of L0's best", 1.2, _rates(at("ours", size=1_000), best)),
        *_http(at),
        *_hot(at),
        Goal("bytes stored per transfer", STORED_BYTES, _stored(results), is_ceiling=True),
        Goal(
            "least p50 of one caller, of that without grouping",
            NOISE,
            _ratio(at("ours", callers=1), at("ours ungrouped"), lambda result: result.least_p50),
            is_ceiling=True,
        ),
    ]


Find = Callable[..., Result | None]


def _http(at: Find) -> Iterable[Goal]:
    for size, needed, text in ((1, 0.6, "single"), (100, 0.3, "batches of 100")):
        ours, bare = (at(name, level="HTTP", size=size) for name in ("ours HTTP", "bare HTTP"))
        yield Goal(f"HTTP {text}, of bare", needed, _rates(ours, bare))
    ours, naive = (at(name, level="HTTP") for name in ("ours HTTP", "naive HTTP"))
    yield Goal("HTTP single, of DRF and the ORM", 7, _rates(ours, naive))


def _hot(at: Find) -> Iterable[Goal]:
    for rung in ("hot-recipient", "hot-payer"):
        ours, floor = (at(name, rung=rung, callers=128) for name in ("ours", "L0"))
        yield Goal(f"{rung} at 128 callers, of L0", 4, _rates(ours, floor))
        yield Goal(
            f"{rung} at 128 callers, p99 of L0's",
            1,
            _ratio(ours, floor, lambda result: result.p99),
            is_ceiling=True,
        )


def _stored(results: Sequence[Result]) -> float | None:
    """Of all service cases together: room is taken in steps of many pages, which hits one of them."""
    ours = [result for result in results if result.candidate == "ours"]
    made = sum(result.made for result in ours)
    return sum(result.stored * result.made for result in ours) / made if made else None


def _rates(ours: Result | None, other: Result | None) -> float | None:
    return _ratio(ours, other, lambda result: result.rate)


def _ratio(
    ours: Result | None, other: Result | None, of: Callable[[Result], float]
) -> float | None:
    """Not a number, which meets no goal, where either failed to post something."""
    if ours is None or other is None:
        return None
    if ours.is_marked or other.is_marked or not of(other):
        return math.nan
    return of(ours) / of(other)
