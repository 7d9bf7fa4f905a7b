"""Keeps the services of ``run`` alive until it is asked to stop.

A service that dies is started again, at once the first time, then after growing pauses. One that
keeps dying within seconds of its start is given up, and everything is stopped.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fintech_core.embedded.interruption import pause
from fintech_core.embedded.messages import LaunchError, last_lines, say
from fintech_core.embedded.processes import Service

WINDOW_SECONDS = 60.0
MOST_EARLY_DEATHS = 5
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass
class Supervised:
    """A service and how to bring it back; ``start`` returns once it is up again or raises.

    One that has lived for ``early_seconds`` was working: its death is an accident, not a defect.
    """

    service: Service
    start: Callable[[], None]
    early_seconds: float = 4.0
    early_deaths: deque[float] = field(default_factory=deque)

    def note_death(self, now: float) -> None:
        """Remember a death soon after the start; forget old ones, and all after a long life."""
        if now - self.service.started_at < self.early_seconds:
            self.early_deaths.append(now)
        else:
            self.early_deaths.clear()
        while self.early_deaths and now - self.early_deaths[0] > WINDOW_SECONDS:
            self.early_deaths.popleft()

    @property
    def is_hopeless(self) -> bool:
        """True after too many early deaths in a row."""
        return len(self.early_deaths) >= MOST_EARLY_DEATHS

    @property
    def pause_before_start(self) -> float:
        """How long to wait before the next start."""
        return PAUSES[min(max(len(self.early_deaths) - 1, 0), len(PAUSES) - 1)]


def describe(status: int) -> str:
    """An exit status in words."""
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"


def require_alive(service: Service) -> None:
    """Raise, with the end of its log, where a service has died while it was starting."""
    if service.has_ended():
        status = service.reap()
        raise LaunchError(f"{service.name} {describe(status)}:\n{last_lines(service.log)}")


def watch(all_supervised: list[Supervised]) -> None:
    """Bring back whatever dies, until asked to stop (``Stopped``) or a service is hopeless."""
    while True:
        for supervised in all_supervised:
            if supervised.service.has_ended():
                _bring_back(supervised)
        pause()


def _bring_back(supervised: Supervised) -> None:
    service = supervised.service
    status = service.reap()
    supervised.note_death(time.monotonic())
    clock = time.strftime("%H:%M:%S")
    if supervised.is_hopeless:
        raise LaunchError(
            f"{service.name} {describe(status)}, {MOST_EARLY_DEATHS} times within"
            f" {WINDOW_SECONDS:.0f} s of being started again:\n{last_lines(service.log)}"
        )
    pause(supervised.pause_before_start)
    began = time.monotonic()
    supervised.start()
    say(
        f"  {clock}  {service.name} {describe(status)}; started again"
        f" ({time.monotonic() - began:.1f} s)"
    )
