"""Threads that an event loop gives work to: as few as it takes, and never more than allowed."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fintech_core.threads import Threads

SOON = 5.0


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(work(), SOON)

    return asyncio.run(main())


def test_one_after_the_other_takes_one_thread() -> None:
    async def work() -> set[str]:
        threads = Threads(8)
        return {(await threads.start(lambda: threading.current_thread().name)) for _ in range(20)}

    assert len(run(work)) == 1


def test_who_was_busy_last_works_next() -> None:
    threads, doors = Threads(8), [threading.Event() for _ in range(4)]

    def wait(door: threading.Event) -> str:
        door.wait(SOON)
        return threading.current_thread().name

    async def work() -> None:
        together = [threads.start(lambda door=door: wait(door)) for door in doors]  # type: ignore[misc]
        names = []
        for door, future in zip(doors, together, strict=True):
            door.set()
            names.append(await future)
        assert len(set(names)) == len(doors)
        assert await threads.start(lambda: threading.current_thread().name) == names[-1]

    run(work)


def test_no_more_than_so_many_and_first_come_first_served() -> None:
    threads, guard = Threads(3), threading.Lock()
    order: list[int] = []
    busy = most = 0

    def task(number: int) -> None:
        nonlocal busy, most
        with guard:
            order.append(number)
            busy += 1
            most = max(most, busy)
        threading.Event().wait(0.005)
        with guard:
            busy -= 1

    async def work() -> None:
        await asyncio.gather(*(threads.start(lambda n=n: task(n)) for n in range(30)))  # type: ignore[misc]

    run(work)
    assert most == 3
    # Three at a time, so each comes at most two places early or late.
    assert all(abs(number - place) <= 2 for place, number in enumerate(order))


def test_what_fails_is_told_and_its_thread_goes_on() -> None:
    def fail() -> None:
        raise LookupError

    async def work() -> None:
        threads = Threads(1)
        with pytest.raises(LookupError):
            await threads.start(fail)
        assert await threads.start(lambda: "here") == "here"

    run(work)


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    begun: list[str] = []

    async def work() -> None:
        threads, door = Threads(1), threading.Event()
        first = threads.start(lambda: door.wait(SOON))
        second = threads.start(lambda: begun.append("second"))
        second.cancel()
        door.set()
        await first
        await threads.start(lambda: begun.append("third"))

    run(work)
    assert begun == ["third"]
