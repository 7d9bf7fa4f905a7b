"""The programs of the platform that ``run`` keeps alive, and how each is started."""

import signal
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from fintech_core.embedded.folders import DataFolder
from fintech_core.embedded.identity import MARKER
from fintech_core.embedded.processes import Service

HOST = "127.0.0.1"


def web_server(folder: DataFolder, environment: Mapping[str, str], port: int) -> Service:
    """The web server: two processes of 32 threads each. The one place that names the server."""
    command = [sys.executable, "-m", "granian", "fintech_core.rsgi:application"]
    command += ["--interface", "rsgi", "--host", HOST, "--port", str(port), "--no-ws"]
    command += ["--http", "1", "--http1-header-read-timeout", "10000", "--backpressure", "1024"]
    command += ["--workers", environment.get("WEB_WORKERS") or "2", "--workers-kill-timeout", "3"]
    command += ["--loop", "uvloop" if find_spec("uvloop") else "asyncio"]
    command += ["--respawn-failed-workers", "--respawn-interval", "0.5", "--log-level", "warning"]
    return _service(folder, environment, "Web server", "web", command)


def background(folder: DataFolder, environment: Mapping[str, str]) -> list[Service]:
    """Everything that works without being asked over HTTP, the most urgent first.

    Receivers of webhooks have workers of their own, whose threads mostly wait, and those in trouble
    another: none of them delays money, or each other. Nor do looks at providers, which may hang. What may
    take hours has a process of its own, which can be ended when its time is up, as threads cannot.
    """
    money = environment.get("CELERY_QUEUES", "").strip() or "money,upkeep"
    processes = environment.get("CELERY_CONCURRENCY", "").strip() or "2"
    return [
        worker(folder, environment, "worker", money, "-c", processes),
        relay(folder, environment),
        worker(folder, environment, "webhooks", "webhooks", "-P", "threads", "-c", "16"),
        worker(folder, environment, "webhooks-slow", "webhooks_slow", "-P", "threads", "-c", "8"),
        worker(folder, environment, "looks", "looks", "-P", "threads", "-c", "8"),
        worker(folder, environment, "long", "long", "-c", "1"),
        beat(folder, environment),
    ]


def worker(
    folder: DataFolder, environment: Mapping[str, str], name: str, queues: str, *options: str
) -> Service:
    """A Celery worker.

    When the launcher is killed it is killed, too, and its own processes with it: a shutdown in good
    order would wait for a broker that is gone. What it was doing is delivered again.
    """
    command = [sys.executable, "-m", "celery", "-A", "fintech_core", "worker", "-Q", queues]
    command += [*options, "-n", f"{name}@%h", "--without-gossip", "--without-mingle", "-l", "INFO"]
    return _service(folder, environment, f"Celery {name}", name, command, signal.SIGKILL)


def beat(folder: DataFolder, environment: Mapping[str, str]) -> Service:
    """Celery beat; it remembers in the data folder what it has sent."""
    schedule = folder.path / "beat"
    schedule.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "celery", "-A", "fintech_core", "beat", "-l", "INFO"]
    command += ["--schedule", str(schedule / "schedule"), "--pidfile", ""]
    return _service(folder, environment, "Celery beat", "beat", command)


def relay(folder: DataFolder, environment: Mapping[str, str]) -> Service:
    """The relay, which hands what is due in PostgreSQL to Celery."""
    command = [sys.executable, "manage.py", "relay"]
    return _service(folder, environment, "Relay", "relay", command)


def simulator(folder: DataFolder, environment: Mapping[str, str]) -> Service:
    """The simulated payment provider. Of the environment it gets what is meant for it: it is a peer,
    and needs none of our secrets."""
    kept = {
        name: value
        for name, value in environment.items()
        if name.startswith("SIMULATOR_") or name in {"PATH", "LANG", "HOME", "PYTHONUNBUFFERED"}
    }
    command = [sys.executable, "-m", "simulator"]
    return _service(folder, kept, "Payment simulator", "simulator", command)


def _service(
    folder: DataFolder,
    environment: Mapping[str, str],
    name: str,
    log: str,
    command: list[str],
    orphan_signal: signal.Signals = signal.SIGTERM,
) -> Service:
    return Service(
        name=name,
        command=command,
        environment={**environment, MARKER: str(folder.path)},
        log=folder.log(log),
        orphan_signal=orphan_signal,
    )
