"""Brokers and workers of a test's own: hurt by their pids, ended here."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from django.db import connection
from kombu import Connection

from fintech_core.embedded.binaries import installed_redis, wheel_redis
from fintech_core.embedded.redis import answers

ROOT = Path(__file__).resolve().parent.parent.parent
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672"


class OwnRedis:
    """A Redis or Valkey without a file, on a socket in a short folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "r.sock"
        found = installed_redis(os.environ) or wheel_redis()
        assert found is not None
        self._program = found.program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}?virtual_host=0"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        command = [
            str(self._program),
            "--save",
            "",
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(lambda: answers(self.socket), 10)

    def client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def own_redis() -> Iterator[OwnRedis]:
    with tempfile.TemporaryDirectory(prefix="fc", dir="/tmp") as folder:
        server = OwnRedis(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def own_rabbitmq_queue() -> Iterator[str]:
    """The name of a queue (and its exchange) that nobody else uses, and that is gone afterwards."""
    name = f"fintech-test-{uuid.uuid4().hex}"
    try:
        yield name
    finally:
        with Connection(RABBITMQ, connect_timeout=2) as broker:
            channel: Any = broker.default_channel
            channel.queue_delete(name)
            channel.exchange_delete(name)


def rabbitmq_answers() -> bool:
    try:
        with Connection(RABBITMQ, connect_timeout=1) as broker:
            broker.ensure_connection(max_retries=0, timeout=1)
    except Exception:
        return False
    return True


def until(happens: Callable[[], object], seconds: float) -> None:
    """Wait for it; fails after that many seconds."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def environment(broker_url: str, **more: str) -> dict[str, str]:
    """Of a process that works on the test's database and on this broker."""
    database = connection.settings_dict
    socket_or_host = str(database["HOST"])
    query = f"?host={socket_or_host}" if socket_or_host.startswith("/") else ""
    place = "" if query else f"{socket_or_host}:{database['PORT']}"
    password = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
    url = f"postgres://{database['USER']}{password}@{place}/{database['NAME']}{query}"
    return {
        **os.environ,
        "FINTECH_ENV": "development",
        "DATABASE_URL": url,
        "DATABASE_OWNER_URL": url,
        "BROKER_URL": broker_url,
        "PYTHONPATH": str(ROOT),
        **more,
    }


class Processes:
    """Processes of one command that come back when they die, as a supervisor sees to it."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path, count: int = 1) -> None:
        self._command, self._env, self._log = command, env, log
        self._running: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._is_over = False
        for _ in range(count):
            self._running.append(self._spawn())
        self._supervisor = threading.Thread(target=self._supervise)
        self._supervisor.start()

    @property
    def pids(self) -> list[int]:
        with self._lock:
            return [process.pid for process in self._running if process.poll() is None]

    def text(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        self._is_over = True
        self._supervisor.join()
        for process in self._running:
            _kill_group(process)

    def kill(self, pid: int) -> None:
        """Kill one as it stands, with the processes it started."""
        for process in self._running:
            if process.pid == pid:
                _kill_group(process)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._env,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _supervise(self) -> None:
        while not self._is_over:
            with self._lock:
                for place, process in enumerate(self._running):
                    if process.poll() is not None:
                        _kill_group(process)
                        self._running[place] = self._spawn()
            time.sleep(0.1)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running(*arguments: str, env: dict[str, str], log: Path, count: int = 1) -> Iterator[Processes]:
    """``python ARGUMENTS`` until the block ends, started again whenever it dies."""
    processes = Processes([sys.executable, *arguments], env, log, count)
    try:
        yield processes
    finally:
        processes.stop()


def worker_command(
    queues: str = "money", *options: str, module: str = "celery -A fintech_core"
) -> list[str]:
    """What ``python`` is given to be a worker of these queues."""
    name = f"test-{uuid.uuid4().hex[:8]}@%h"
    base = ["-m", *module.split(), "worker", "-Q", queues, "-n", name]
    return [*base, "--without-gossip", "--without-mingle", "-l", "INFO", *options]


def point_at(settings: Any, broker_url: str) -> None:
    """Have this process publish to a broker."""
    from events.relay import publisher
    from fintech_core import queues

    settings.BROKER_URL = broker_url
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = queues.transport_options(
        broker_url, visibility_seconds=600
    )
    publisher.close()
