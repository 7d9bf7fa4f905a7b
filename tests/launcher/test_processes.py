"""Processes: nobody else's is ever signalled, ours never outlive the launcher, dead ones come back."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from fintech_core.embedded import identity
from fintech_core.embedded.folders import DataFolder
from fintech_core.embedded.messages import LaunchError
from fintech_core.embedded.ports import chosen_port, require_free
from fintech_core.embedded.processes import Service, clear_strays, finish, signal_postgres
from fintech_core.embedded.supervisor import MOST_EARLY_DEATHS, Supervised
from tests.launcher.support import data_folder, eventually, process

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
needs_proc = pytest.mark.skipif(not identity.HAS_PROC, reason="this system has no /proc")


def service(folder: DataFolder, *command: str) -> Service:
    return Service(
        name="Test", command=command or SLEEP, environment=os.environ, log=folder.log("test")
    )


def test_a_taken_port_is_said_plainly() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LaunchError, match=f"Port {port} is taken by another program"):
            require_free(port)
    require_free(port)


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "\uff18\uff10"])
def test_a_port_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", text)
    with pytest.raises(LaunchError, match="must be a number from 1 to 65535"):
        chosen_port()


@needs_proc
def test_a_stranger_is_never_signalled() -> None:
    with data_folder() as folder, process() as stranger:
        data = folder.path / "postgres"
        data.mkdir()
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n")
        assert not identity.is_postgres_of(stranger.pid, data)
        signal_postgres(data, signal.SIGKILL)
        clear_strays(folder.path, patience=0.1)
        assert stranger.poll() is None


@needs_proc
def test_a_service_left_by_a_killed_launcher_is_ended() -> None:
    with data_folder() as folder:
        marked = {**os.environ, identity.MARKER: str(folder.path)}
        with process(environment=marked) as stray:
            assert eventually(lambda: identity.services_of(folder.path) == [stray.pid])
            clear_strays(folder.path, patience=0.5)
            assert stray.wait(5) == -signal.SIGTERM


def test_a_reaped_service_leaves_none_of_its_group() -> None:
    script = "sleep 60 & echo $!; exec sleep 60"
    with data_folder() as folder:
        leader = service(folder, "sh", "-c", script)
        leader.spawn()
        assert eventually(lambda: leader.log.read_text().strip() != "")
        child = int(leader.log.read_text())
        leader.signal(signal.SIGKILL)
        assert leader.wait(5)
        assert identity.is_alive(child)
        assert leader.reap() == -signal.SIGKILL
        assert eventually(lambda: not identity.is_alive(child))


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_a_service_does_not_outlive_a_killed_launcher() -> None:
    launcher = """
import os, sys
from pathlib import Path
from fintech_core.embedded.processes import Service
service = Service(name="x", command=["sleep", "60"], environment=os.environ, log=Path(sys.argv[1]))
service.spawn()
print(service.process.pid, flush=True)
sys.stdin.read()
"""
    with data_folder() as folder:
        parent = subprocess.Popen(
            [sys.executable, "-c", launcher, str(folder.log("x"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert identity.is_alive(child)
        parent.kill()
        parent.communicate()
        assert eventually(lambda: not identity.is_alive(child), 5)


def test_a_command_that_ends_tells_its_status_and_its_output() -> None:
    with data_folder() as folder:
        command = service(folder, "sh", "-c", "echo told; exit 3")
        assert finish(command) == 3
        assert command.log.read_text() == "told\n"


def dying(folder: DataFolder, lifetimes: list[float]) -> Supervised:
    """A service that has died after each of these lifetimes, in a row."""
    supervised = Supervised(service(folder), lambda: None)
    now = time.monotonic()
    for lifetime in lifetimes:
        supervised.service.started_at = now
        now += lifetime
        supervised.note_death(now)
    return supervised


def test_a_service_that_keeps_dying_young_is_started_ever_later_and_then_given_up() -> None:
    with data_folder() as folder:
        once = dying(folder, [0.5])
        assert (once.is_hopeless, once.pause_before_start) == (False, 0.0)
        often = dying(folder, [0.5] * (MOST_EARLY_DEATHS - 1))
        assert (often.is_hopeless, often.pause_before_start > 0) == (False, True)
        assert dying(folder, [0.5] * MOST_EARLY_DEATHS).is_hopeless


def test_a_service_that_had_worked_is_never_given_up() -> None:
    with data_folder() as folder:
        killed_often = dying(folder, [30.0] * 20)
        assert (killed_often.is_hopeless, killed_often.pause_before_start) == (False, 0.0)
        recovered = dying(folder, [0.5] * (MOST_EARLY_DEATHS - 1) + [30.0])
        assert (recovered.is_hopeless, recovered.pause_before_start) == (False, 0.0)
