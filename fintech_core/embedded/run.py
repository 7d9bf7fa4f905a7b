"""``run``: the whole system in the foreground, from one data folder."""

import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack

from fintech_core.embedded import servers as server_set
from fintech_core.embedded.folders import DataFolder, configured
from fintech_core.embedded.identity import MARKER
from fintech_core.embedded.interruption import Stopped, pause
from fintech_core.embedded.messages import LaunchError, last_lines, say, step
from fintech_core.embedded.processes import Service, clear_strays, finish, stop_together
from fintech_core.embedded.servers import Servers
from fintech_core.embedded.supervisor import Supervised, require_alive, watch

HEALTH_SECONDS = 60.0
HOST = "127.0.0.1"


def run() -> int:
    """Serve until asked to stop; everything this started has ended when it returns."""
    port = chosen_port()
    folder = configured()
    folder.make()
    with ExitStack() as stack:
        folder.take("make run")
        stack.callback(folder.release)
        clear_strays(folder.path)
        require_free(port)
        say(f"Fintech Core, data in {folder.path}")
        servers = server_set.choose(folder, os.environ)
        stack.callback(servers.stop)
        try:
            _serve(servers, port)
        except Stopped:
            say("\nStopping.")
    say("Everything is stopped.")
    return 0


def _serve(servers: Servers, port: int) -> None:
    environment = server_set.compose(os.environ, servers, demo=True)
    server_set.start(servers)
    _manage(servers.folder, environment, "Migrations", "migrate", "--no-input")
    web = web_server(servers.folder, environment, port)
    background = [worker(servers.folder, environment), beat(servers.folder, environment)]
    try:
        web.spawn()
        if environment.get("FINTECH_DEMO") == "true" and servers.postgres is not None:
            # Beside the web server's start, which takes as long and is not announced before.
            _manage(servers.folder, environment, "Demo data", "seed_demo")
        with step("Web server") as outcome:
            _wait_for_health(web, environment, port)
            outcome.text = "healthy"
        with step("Worker and beat") as outcome:
            for service in background:
                service.spawn()
            outcome.text = "started"
        say(_welcome(environment, servers.folder, port, has_demo=servers.postgres is not None))
        watch(_supervised(servers, [web, *background]))
    finally:
        stop_together([web, *background])


def _supervised(servers: Servers, services: list[Service]) -> list[Supervised]:
    """Servers first: what runs on them comes back quicker when they are there."""
    embedded = [server for server in (servers.postgres, servers.redis) if server is not None]
    return [
        # These have answered before their start returns, so they may die often and come back each time.
        *(Supervised(server.service, server.start, early_seconds=1.0) for server in embedded),
        *(Supervised(service, service.spawn) for service in services),
    ]


def web_server(folder: DataFolder, environment: Mapping[str, str], port: int) -> Service:
    """The web server: two processes of 32 threads each. The one place that names the server."""
    command = [sys.executable, "-m", "granian", "fintech_core.rsgi:application"]
    command += [
        "--interface",
        "rsgi",
        "--host",
        HOST,
        "--port",
        str(port),
        "--no-ws",
        "--http",
        "1",
    ]
    command += ["--workers", environment.get("WEB_WORKERS") or "2", "--backpressure", "1024"]
    command += ["--respawn-failed-workers", "--respawn-interval", "0.5"]
    command += ["--workers-kill-timeout", "3", "--http1-header-read-timeout", "10000"]
    command += ["--log-level", "warning"]
    return _service(folder, environment, "Web server", "web", command)


def worker(folder: DataFolder, environment: Mapping[str, str]) -> Service:
    """The Celery worker.

    When the launcher is killed it is killed, too, and its own processes with it: a shutdown in good
    order would wait for a broker that is gone. What it was doing is delivered again.
    """
    queues = environment.get("CELERY_QUEUES", "").strip() or "upkeep"
    command = [sys.executable, "-m", "celery", "-A", "fintech_core", "worker", "-Q", queues]
    processes = environment.get("CELERY_CONCURRENCY") or "2"
    command += [
        "-c",
        processes,
        "-n",
        "fintech@%h",
        "--without-gossip",
        "--without-mingle",
        "-l",
        "INFO",
    ]
    return _service(folder, environment, "Celery worker", "worker", command, signal.SIGKILL)


def beat(folder: DataFolder, environment: Mapping[str, str]) -> Service:
    """Celery beat; it remembers in the data folder what it has sent."""
    schedule = folder.path / "beat"
    schedule.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "celery", "-A", "fintech_core", "beat", "-l", "INFO"]
    command += ["--schedule", str(schedule / "schedule"), "--pidfile", ""]
    return _service(folder, environment, "Celery beat", "beat", command)


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


def chosen_port() -> int:
    """``PORT``, by default 8000."""
    text = os.environ.get("PORT", "").strip() or "8000"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise LaunchError(f"PORT is {text!r}; it must be a number from 1 to 65535.")
    return int(text)


def require_free(port: int) -> None:
    """Raise where something listens on the port already, before anything else is started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise LaunchError(f"Port {port} needs more rights; choose one above 1023.") from None
        except OSError:
            raise LaunchError(
                f"Port {port} is taken by another program. Stop that, or choose another port:"
                f" PORT={port + 1 if port < 65535 else 8000} make run"
            ) from None


def _manage(
    folder: DataFolder, environment: Mapping[str, str], label: str, *arguments: str
) -> None:
    """Run one ``manage.py`` command as a step; its output goes to a log, shown where it fails."""
    command = [sys.executable, "manage.py", *arguments]
    service = Service(
        name="manage.py", command=command, environment=environment, log=folder.log("manage")
    )
    with step(label):
        if finish(service) != 0:
            raise LaunchError(f"manage.py {arguments[0]} failed:\n{last_lines(service.log)}")


def _wait_for_health(web: Service, environment: Mapping[str, str], port: int) -> None:
    deadline = time.monotonic() + HEALTH_SECONDS
    answer = "nothing answers"
    while time.monotonic() < deadline:
        require_alive(web)
        is_healthy, answer = _health(environment, port)
        if is_healthy:
            return
        pause()
    raise LaunchError(
        f"The service is not healthy after {HEALTH_SECONDS:.0f} s: {answer}\n{last_lines(web.log)}"
    )


def _health(environment: Mapping[str, str], port: int) -> tuple[bool, str]:
    """Whether ``/api/health/`` answers 200, and what it answers."""
    allowed = environment.get("ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".")
    request = urllib.request.Request(
        f"http://{HOST}:{port}/api/health/", headers={"Host": allowed or HOST}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as response:
            return response.status == 200, str(response.status)
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return False, f"{error}"


def _welcome(
    environment: Mapping[str, str], folder: DataFolder, port: int, *, has_demo: bool
) -> str:
    """Where everything is, whom to log in as, and something to try."""
    base = f"http://localhost:{port}"
    lines = [
        "",
        f"  API reference  {base}/api/docs/",
        f"  Health         {base}/api/health/",
        f"  Operations     {base}/admin/",
        "",
    ]
    if has_demo:
        login = json.dumps({"email": "user@example.com", "password": "SecurePass123!"})
        lines += [
            "  Demo logins    user@example.com, recipient@example.com   SecurePass123!",
            "                 admin@example.com (for /admin/)           AdminPass123!",
            "",
            "  Try it:",
            f"    TOKEN=$(curl -s -X POST {base}/api/auth/login/ \\",
            f"      -H 'Content-Type: application/json' -d '{login}' \\",
            """      | sed 's/.*"access": *"\\([^"]*\\)".*/\\1/')""",
            f'    curl {base}/api/wallet/ -H "Authorization: Bearer $TOKEN"',
        ]
    elif server_set.is_production(environment):
        lines += ["  Make an account: python3 dev.py manage createsuperuser"]
    else:
        lines += [
            "  No demo data is made in a database given by DATABASE_URL.",
            "  Make an account: python3 dev.py manage createsuperuser",
        ]
    lines += ["", f"  Logs and data are in {folder.path}. Ctrl-C stops everything.", ""]
    return "\n".join(lines)
