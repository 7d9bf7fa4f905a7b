"""Ctrl-C, SIGTERM and SIGHUP ask the launcher to stop; each wait notices within a tenth of a
second.

The handlers only take a note. Nothing is torn out of the middle of starting a process, so no
process can be started and forgotten.
"""

import signal
import time
from types import FrameType

TICK = 0.1


class Stopped(Exception):
    """The launcher was asked to stop."""


class _Notes:
    requested: int | None = None


def _note(number: int, _frame: FrameType | None) -> None:
    _Notes.requested = number


def install() -> None:
    """Take notes of the signals that mean "stop"; a SIGHUP ignored by ``nohup`` stays ignored."""
    signal.signal(signal.SIGINT, _note)
    signal.signal(signal.SIGTERM, _note)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _note)


def requested() -> int | None:
    """The signal that asked to stop, if any."""
    return _Notes.requested


def forget() -> None:
    """Drop the note; for tests and for a caller that has dealt with it."""
    _Notes.requested = None


def pause(seconds: float = TICK) -> None:
    """Sleep, and raise ``Stopped`` when asked to stop before or meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        if _Notes.requested is not None:
            raise Stopped
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(TICK, left))
