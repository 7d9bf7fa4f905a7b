"""The embedded Redis or Valkey: append-only, on a private socket, a crash loses a second at
most."""

import os
import signal
import socket
import time
from pathlib import Path

from fintech_core.embedded.binaries import Redis
from fintech_core.embedded.folders import DataFolder
from fintech_core.embedded.identity import MARKER
from fintech_core.embedded.interruption import pause
from fintech_core.embedded.messages import LaunchError, last_lines
from fintech_core.embedded.processes import Service

START_TRIES = 6
READY_SECONDS = 30.0


class EmbeddedRedis:
    """One Redis or Valkey server over one data folder. Database 0 is the cache, 1 the broker."""

    def __init__(self, folder: DataFolder, server: Redis) -> None:
        self.folder = folder
        self.server = server
        self.socket = folder.sockets / "redis.sock"
        # By kind and major version: none reads the files of a newer or another one.
        self.data = folder.path / f"{server.name.lower()}-{server.version.partition('.')[0]}"
        self.configuration = self.data / "redis.conf"
        self.service = Service(
            name=server.name,
            command=[server.program, self.configuration],
            environment={**os.environ, MARKER: str(folder.path)},
            log=folder.log("redis"),
            stop_signal=signal.SIGTERM,
            orphan_signal=signal.SIGTERM,
        )

    @property
    def cache_url(self) -> str:
        """The form redis-py and django-redis take."""
        return f"unix://{self.socket}?db=0"

    @property
    def broker_url(self) -> str:
        """The form Celery takes."""
        return f"redis+socket://{self.socket}?virtual_host=1"

    def start(self) -> None:
        """Start the server and wait until it answers, with its data loaded."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.configuration.write_text(self._settings(), encoding="utf-8")
        for left in reversed(range(START_TRIES)):
            self.socket.unlink(missing_ok=True)
            self.service.spawn()
            if self._becomes_ready():
                return
            self.service.reap()
            if not left:
                break
            pause(0.5)
        raise LaunchError(f"{self.server.name} does not start:\n{last_lines(self.service.log)}")

    def stop(self, seconds: float = 3.0) -> None:
        """Stop the server after it has written everything."""
        self.service.stop(seconds)

    def _settings(self) -> str:
        settings = {
            "dir": _quoted(self.data),
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "600",
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            # Queued tasks must never be evicted to make room for cached answers.
            "maxmemory-policy": "noeviction",
            # Keeps the command line as it was started, by which a stray one is known.
            "set-proc-title": "no",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _becomes_ready(self) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and not self.service.has_ended():
            if answers(self.socket):
                return True
            pause(0.02)
        return False


def answers(path: Path) -> bool:
    """True where a Redis at this socket answers a ping; not while it is still loading its data."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def reachable(url: str) -> None:
    """Raise ``LaunchError`` in plain words where no Redis answers at a URL."""
    import redis

    try:
        connection = redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3)
        connection.ping()
    except (redis.RedisError, ValueError) as error:
        raise LaunchError(f"No Redis answers at REDIS_URL: {error}") from error


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
