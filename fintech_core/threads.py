"""Threads that do what an event loop gives them."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

_Job = tuple[Callable[[], object], "asyncio.Future[Any]"]


class Threads:
    """So many threads at most, for work that is done first come, first served.

    Who was busy last works next: as few as the work needs share it, each with a database session whose
    plans are made and whose caches are warm. A bare queue and bare futures: an executor's own futures,
    ``asyncio.wait`` and the tasks it makes cost more than all else between the socket and Django.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._started = 0
        self._idle: list[SimpleQueue[_Job]] = []
        self._waiting: deque[_Job] = deque()

    def start(self, work: Callable[[], object]) -> "asyncio.Future[Any]":
        """Have a thread do the work; the future, of the running loop, tells what came of it."""
        future = asyncio.get_running_loop().create_future()
        job = (work, future)
        with self._guard:
            if self._idle:
                self._idle.pop().put(job)
            elif self._started < self._most:
                self._started += 1
                self._start_thread(job)
            else:
                self._waiting.append(job)
        return future

    def _start_thread(self, job: _Job) -> None:
        threading.Thread(
            target=self._serve, args=(job,), name=f"web-{self._started}", daemon=True
        ).start()

    def _serve(self, job: _Job) -> None:
        given: SimpleQueue[_Job] = SimpleQueue()
        while True:
            work, future = job
            result = _result_of(work, future)
            with self._guard:
                following = self._waiting.popleft() if self._waiting else None
                if following is None:
                    # Before the answer is told, so that who then asks again does not meet another.
                    self._idle.append(given)
            with suppress(RuntimeError):  # The loop is closed: the process is about to end.
                future.get_loop().call_soon_threadsafe(resolve, future, result)
            # It may hold a lot, which is not to wait for the next work.
            del job, work, future, result
            job = following or given.get()


def _result_of(work: Callable[[], object], future: "asyncio.Future[Any]") -> object:
    if future.done():
        return None  # Time was up while it waited its turn: nobody hears of it any more.
    try:
        return work()
    except BaseException as error:  # Whoever waits for it is told; the thread lives on.
        return error


def resolve(future: "asyncio.Future[Any]", result: object) -> None:
    """Give the future its result or exception, unless time was up before."""
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
