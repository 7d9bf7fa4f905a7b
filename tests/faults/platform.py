"""A whole platform of its own for fault tests: started by the launcher, hurt by its pids, ended here."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
TRANSFER = "/api/transactions/transactions/transfer/"
DEMO_USER, DEMO_RECIPIENT = "user@example.com", "recipient@example.com"
DEMO_PASSWORD = "SecurePass123!"


@dataclass
class Answer:
    """Status and body of one response; status 0 where the connection broke."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)


@dataclass
class Platform:
    """A running platform and how to talk to it and hurt it."""

    port: int
    data: Path
    launcher: "subprocess.Popen[bytes]"

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, token: str | None = None
    ) -> Answer:
        """One request on a connection of its own; never raises for a broken connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read() or b"{}"))
        except (OSError, http.client.HTTPException, ValueError):
            return Answer(0)
        finally:
            connection.close()

    def sign_in(self, email: str = DEMO_USER) -> str:
        answer = self.call("POST", "/api/auth/login/", {"email": email, "password": DEMO_PASSWORD})
        assert answer.status == 200, answer
        return str(answer.body["access"])

    def transfer(self, token: str, key: str, amount: str = "0.01") -> Answer:
        body = {"to_user_email": DEMO_RECIPIENT, "amount": amount, "idempotency_key": key}
        return self.call("POST", TRANSFER, body, token)

    def balance(self, email: str) -> str:
        answer = self.call("GET", "/api/wallet/", token=self.sign_in(email))
        assert answer.status == 200, answer
        return str(answer.body["balance"])

    def wait_until_healthy(self, seconds: float = 60) -> None:
        until(lambda: self.call("GET", "/api/health/").status == 200, seconds)

    def manage(self, *arguments: str) -> str:
        """Run ``manage.py`` on this platform's servers."""
        command = [sys.executable, "-m", "fintech_core.embedded", "manage", *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(self.data, self.port),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def web_workers(self) -> list[int]:
        """The web server's processes that serve requests."""
        [master] = [pid for pid in children(self.launcher.pid) if "granian" in command_of(pid)]
        return [pid for pid in children(master) if "resource_tracker" not in command_of(pid)]

    def postgres(self) -> int:
        """The postmaster."""
        found = [
            pid
            for pid in descendants(self.launcher.pid)
            if Path(command_of(pid).split("\0")[0]).name == "postgres"
        ]
        return min(found, key=lambda pid: len(ancestors(pid)))

    def redis(self) -> int:
        names = {"redis-server", "valkey-server"}
        [found] = [
            pid
            for pid in descendants(self.launcher.pid)
            if Path(command_of(pid).split("\0")[0].split(" ")[0]).name in names
        ]
        return found


def until(happens: Callable[[], bool], seconds: float) -> None:
    """Wait for it; fails after that many seconds."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def environment(data: Path, port: int) -> dict[str, str]:
    ours: tuple[str, ...] = (
        "DATABASE",
        "REDIS",
        "BROKER",
        "FINTECH",
        "SECRET_KEY",
        "JWT",
        "DJANGO",
    )
    ours += ("PYTEST", "SIMULATOR", "PAYMENT", "STRIPE", "WEBHOOK")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"FINTECH_DATA": str(data), "PORT": str(port)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_platform() -> Iterator[Platform]:
    """``make run`` with a data folder and a port of its own, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="fintech faults ") as folder:
        data, port = Path(folder), free_port()
        with (data / "launcher.txt").open("wb") as output:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "fintech_core.embedded", "run"],
                cwd=ROOT,
                env=environment(data, port),
                stdout=output,
                stderr=output,
            )
        try:
            platform = Platform(port, data, launcher)
            until(lambda: b"Ctrl-C" in (data / "launcher.txt").read_bytes(), 90)
            yield platform
        finally:
            launcher.send_signal(signal.SIGTERM)
            launcher.wait(timeout=30)


def new_key() -> str:
    return uuid.uuid4().hex


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def children(pid: int) -> list[int]:
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [number for number in numbers if parent_of(number) == pid]


def descendants(pid: int) -> list[int]:
    direct = children(pid)
    return direct + [number for child in direct for number in descendants(child)]


def ancestors(pid: int) -> list[int]:
    found = []
    while pid := parent_of(pid):
        found.append(pid)
    return found
