"""The simulated provider as a process of its own, for any test: the fixture ``simulator``."""

import http.server
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from django.conf import settings
from django.test import Client, override_settings

from fintech_core.embedded.privileges import die_with_parent
from fintech_core.signing import new_secret, sign
from payments.providers.registry import forget_providers
from payments.providers.simulator import SimulatorProvider

WEBHOOK_PATH = "/api/payments/webhooks/simulator/"
PATIENCE = 20.0
T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float = PATIENCE) -> T:
    """What a look returns as soon as that is true; fails after so long."""
    until = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < until, "It did not happen in time."
        time.sleep(0.02)


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Simulator:
    """A running ``python -m simulator``; it sends no event until ``behave`` says where to."""

    folder: Path
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    secret: str = field(default_factory=new_secret)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it on what it remembers, and wait until it answers. It ends with the tests, however."""
        tests = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulator"],
            cwd=settings.BASE_DIR,
            env={
                "PATH": os.environ["PATH"],
                "SIMULATOR_PORT": str(self.port),
                "SIMULATOR_PUBLIC_URL": self.url,
                "SIMULATOR_API_KEY": self.key,
                "SIMULATOR_WEBHOOK_SECRET": self.secret,
                "SIMULATOR_DATABASE": str(self.folder / "simulator.sqlite3"),
                "SIMULATOR_RETRY_PAUSES": "0.1,0.2,0.4",
                "SIMULATOR_PACE": "0.2",
            },
            preexec_fn=lambda: die_with_parent(signal.SIGKILL, tests),  # noqa: PLW1509
        )
        eventually(self.answers)

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            url = f"{self.url}/health"
            return httpx.get(url, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def has_died(self) -> bool:
        """Whether its process has ended."""
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def restart(self) -> None:
        """Kill it where it lives, and start it again."""
        self.kill()
        self.start()

    def call(
        self, method: str, path: str, fields: Any = None, *, told: str = "", **headers: str
    ) -> httpx.Response:
        """One request to its API; ``told`` is a behaviour for the key."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        key = f"{self.key}~{told}" if told else self.key
        sent |= {"Authorization": f"Bearer {key}"}
        url = f"{self.url}{path}"
        return httpx.request(method, url, json=fields, headers=sent, timeout=10, trust_env=False)

    def create(
        self, amount: int = 5_000, currency: str = "USD", *, told: str = ""
    ) -> dict[str, Any]:
        """A new payment."""
        key = secrets.token_hex(16)
        fields = {"merchant_reference": key, "amount": amount, "currency": currency}
        answer = self.call("POST", "/v1/payments", fields, told=told, Idempotency_Key=key)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def simulate(self, payment: str, outcome: str = "succeeded") -> httpx.Response:
        """End a payment."""
        return self.call("POST", f"/v1/payments/{payment}/simulate", {"outcome": outcome})

    def fetch(self, payment: str) -> dict[str, Any]:
        """A payment as it is."""
        told: dict[str, Any] = self.call("GET", f"/v1/payments/{payment}").json()
        return told

    def behave(self, *names: str, webhook_url: str | None = None) -> None:
        """Behave so from here on; events go to ``webhook_url``."""
        fields: dict[str, Any] = {"behaviours": list(names)}
        if webhook_url is not None:
            fields["webhook_url"] = webhook_url
        answer = self.call("POST", "/v1/_behaviour", fields)
        assert answer.status_code == 200, answer.text

    def reset(self) -> None:
        """Behave well, and send nothing."""
        self.call("DELETE", "/v1/_behaviour")

    def events(self, subject: str) -> list[dict[str, Any]]:
        """Every event of one object, oldest first."""
        events: list[dict[str, Any]] = self.call("GET", f"/v1/events?object={subject}").json()[
            "events"
        ]
        return events

    def post(self, event: dict[str, Any], client: Client | None = None) -> int:
        """Send one of ``events`` through Django's test client, signed as it would be: the status."""
        told = {name: event[name] for name in ("id", "type", "created", "data")}
        body, now = json.dumps(told).encode(), int(time.time())
        answer = (client or Client()).post(
            WEBHOOK_PATH,
            data=body,
            content_type="application/json",
            headers={
                "webhook-id": event["id"],
                "webhook-timestamp": str(now),
                "webhook-signature": sign(self.secret, event["id"], now, body),
            },
        )
        return int(answer.status_code)


@pytest.fixture(scope="session")
def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One process for the tests of a worker; it has objects of earlier tests."""
    running = Simulator(tmp_path_factory.mktemp("simulator"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
def simulator(simulator_process: Simulator) -> Iterator[Simulator]:
    """The simulated provider, well-behaved, and the platform set up to use it."""
    if simulator_process.has_died():
        simulator_process.start()
    simulator_process.reset()
    with override_settings(
        PAYMENT_PROVIDERS=["simulator"],
        DEFAULT_PAYMENT_PROVIDER="simulator",
        SIMULATOR_URL=simulator_process.url,
        SIMULATOR_API_KEY=simulator_process.key,
        SIMULATOR_WEBHOOK_SECRET=simulator_process.secret,
    ):
        forget_providers()
        yield simulator_process
    forget_providers()
    if not simulator_process.has_died():
        simulator_process.reset()


@pytest.fixture
def adapter(simulator: Simulator) -> SimulatorProvider:
    """Its adapter."""
    return SimulatorProvider()


@dataclass(frozen=True, slots=True)
class Received:
    """A request that a receiver got; headers by lower-case name."""

    body: bytes
    headers: dict[str, str]
    at: float

    @property
    def event(self) -> dict[str, Any]:
        """The body."""
        told: dict[str, Any] = json.loads(self.body)
        return told


class Receiver(http.server.ThreadingHTTPServer):
    """Takes what is posted to it, and answers ``statuses`` in turn, then 200."""

    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        super().__init__(("127.0.0.1", 0), _Taking)

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self.server_port}/hook"

    def types(self, subject: str) -> list[str]:
        """The types of the events about one object, in the order they came."""
        return [told.event["type"] for told in self.about(subject)]

    def about(self, subject: str) -> list[Received]:
        """What came about one object."""
        return [told for told in list(self.received) if told.event["data"]["id"] == subject]


class _Taking(http.server.BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(body, headers, time.time()))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somewhere to send events to."""
    with Receiver() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
