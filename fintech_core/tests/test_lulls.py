"""Who was served together comes back together; who was alone waits for nobody."""

import time
from collections.abc import Callable
from itertools import chain, repeat

import pytest

from fintech_core import lulls
from fintech_core.lulls import Lull


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept each time; no time passes."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def seen(*numbers: int) -> Callable[[], int]:
    """So many wait at each look, and from the last on no more."""
    looks = chain(numbers, repeat(numbers[-1]))
    return lambda: next(looks)


def after(*sizes: int) -> Lull:
    lull = Lull()
    for size in sizes:
        lull.served(size)
    return lull


def test_who_was_alone_waits_for_nobody(naps: list[float]) -> None:
    for lull in (Lull(), after(1), after(1, 1)):
        lull.wait(seen(0))
    assert naps == []


def test_those_who_come_back_are_waited_for(naps: list[float]) -> None:
    after(4).wait(seen(0, 1, 3))
    assert len(naps) == 2, "the fourth is the one who waits"


def test_when_nobody_comes_any_more_the_rest_is_not_waited_for(naps: list[float]) -> None:
    after(64).wait(seen(0, 5, 5))
    assert len(naps) == 2
    after(64).wait(seen(0))
    assert len(naps) == 3


def test_nobody_waits_for_longer_than_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lulls, "LONGEST_SECONDS", 0.05)
    number = iter(range(1_000_000))
    began = time.monotonic()
    after(10**9).wait(lambda: next(number))
    assert 0.05 <= time.monotonic() - began < 1


def test_a_large_group_is_forgotten_when_only_small_ones_follow(naps: list[float]) -> None:
    after(64, 1).wait(seen(40, 40))
    assert len(naps) == 1, "one small group among large ones does not count for much"
    after(64, *[1] * 20).wait(seen(0))
    assert len(naps) == 1
