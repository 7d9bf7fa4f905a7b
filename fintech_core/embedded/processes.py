"""One service's process: spawned so that it cannot outlive the launcher, and stopped whole.

Each service leads its own process group, so a Ctrl-C at the terminal reaches the launcher alone,
which then stops the services in order; and what a dead leader leaves behind is found by its group.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fintech_core.embedded import identity
from fintech_core.embedded.folders import ROOT
from fintech_core.embedded.interruption import TICK, pause
from fintech_core.embedded.privileges import Mode, before_exec

Command = Sequence[str | os.PathLike[str]]
# waitid() sees an exit without reaping it; where it is missing, poll() has to do.
HAS_WAITID = hasattr(os, "waitid") and sys.platform != "darwin"


@dataclass(kw_only=True)
class Service:
    """A program to keep running. ``stop_signal`` asks it to end in good order."""

    name: str
    command: Command
    environment: Mapping[str, str]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    # Sent by the kernel when the launcher itself is killed: nobody waits then, so the quick way.
    orphan_signal: signal.Signals = signal.SIGTERM
    mode: Mode = Mode.PLAIN
    folder: Path = ROOT
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)

    def spawn(self) -> None:
        """Start the process; its output is added to the log. Only the main thread may call this,
        and the launcher has no other.

        The kernel sends ``orphan_signal`` when the *thread* ends that started the process.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=before_exec(self.mode, self.orphan_signal),  # noqa: PLW1509
            )
        self.started_at = time.monotonic()

    def has_ended(self) -> bool:
        """True once the process has exited; it stays a zombie, so that nobody gets its number."""
        if self.process is None:
            return True
        if not HAS_WAITID or self.process.returncode is not None:
            return self.process.poll() is not None
        return (
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )

    def wait(self, seconds: float) -> bool:
        """Wait for the process to exit; False where it is still there after so long."""
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(TICK / 5)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the leading process alone."""
        if self.process is not None and not self.has_ended():
            self.process.send_signal(number)

    def reap(self) -> int:
        """End whatever is left of the process's group, then collect its exit status.

        In this order: until the leader is collected, its group's number cannot be a stranger's.
        """
        if self.process is None:
            return 0
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        self.process = None
        return status

    def stop(self, seconds: float = 4.0) -> None:
        """Ask the process to end, insist after so many seconds, and leave none of its group."""
        self.signal(self.stop_signal)
        self.wait(seconds)
        self.reap()


def finish(service: Service) -> int:
    """Run a service that ends by itself, and return its exit status; ``Stopped`` ends it first."""
    service.spawn()
    try:
        while not service.has_ended():
            pause(TICK / 2)
    finally:
        service.signal(service.stop_signal)
        service.wait(2.0)
        status = service.reap()
    return status


def stop_together(services: Sequence[Service], seconds: float = 4.0) -> None:
    """Stop several services at once, none waiting for another."""
    for service in services:
        service.signal(service.stop_signal)
    deadline = time.monotonic() + seconds
    for service in services:
        service.wait(max(0.0, deadline - time.monotonic()))
        service.reap()


def clear_strays(folder: Path, patience: float = 3.0) -> None:
    """End the services that a killed launcher with this data folder left; wait for them to be gone.

    They were told to end when it died, so they get a moment first.
    """
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        strays = identity.services_of(folder)
        for pid in strays:
            if number is not None and identity.is_marked(pid, folder):
                _signal(pid, number)
        while strays and time.monotonic() < deadline:
            time.sleep(TICK)
            strays = identity.services_of(folder)
        if not strays:
            return


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def signal_postgres(postgres_data: Path, number: signal.Signals) -> None:
    """Signal every server process of one PostgreSQL data folder, each looked at just before."""
    for pid in identity.postgres_processes(postgres_data):
        if identity.is_postgres_of(pid, postgres_data):
            _signal(pid, number)
