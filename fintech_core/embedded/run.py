"""``run``: the whole system in the foreground, from one data folder."""

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from fintech_core.embedded import servers as server_set
from fintech_core.embedded.folders import DataFolder, configured
from fintech_core.embedded.interruption import TICK, Stopped, pause
from fintech_core.embedded.messages import LaunchError, last_lines, say, step
from fintech_core.embedded.ports import (
    chosen_port,
    note_simulator,
    require_free,
    simulator_port,
)
from fintech_core.embedded.processes import Service, clear_strays, finish, stop_together
from fintech_core.embedded.servers import Servers
from fintech_core.embedded.services import HOST, background, simulator, web_server
from fintech_core.embedded.supervisor import Supervised, require_alive, watch
from fintech_core.embedded.welcome import welcome

HEALTH_SECONDS = 60.0


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
    folder = servers.folder
    environment = server_set.compose(os.environ, servers, demo=True)
    provider = _provider(folder, environment, port)
    server_set.start(servers)
    web = web_server(folder, environment, port)
    others = background(folder, environment)
    has_demo = environment.get("FINTECH_DEMO") == "true" and servers.postgres is not None
    everything = [service for service in (provider, web, *others) if service is not None]
    try:
        if provider is not None:
            provider.spawn()
        _manage(folder, environment, "Migrations", "migrate", "--no-input")
        web.spawn()
        if has_demo:
            # Beside the web server's start, which takes as long and is not announced before.
            _manage(folder, environment, "Demo data", "seed_demo")
        with step("Web server") as outcome:
            _wait_for_health(web, environment, port)
            outcome.text = "healthy"
        if provider is not None:
            with step("Payments") as outcome:
                wait_for_port(provider, int(environment["SIMULATOR_PORT"]))
                outcome.text = f"simulated by {environment['SIMULATOR_URL']}"
        with step("Workers and relay") as outcome:
            for service in others:
                service.spawn()
            outcome.text = "started"
        say(
            welcome(
                f"http://localhost:{port}",
                str(folder.path),
                has_demo=has_demo,
                has_simulator=provider is not None,
                hint=_hint(environment),
            )
        )
        watch(_supervised(servers, everything))
    finally:
        stop_together(everything)


def _supervised(servers: Servers, services: list[Service]) -> list[Supervised]:
    """Servers first: what runs on them comes back quicker when they are there."""
    embedded = [server for server in (servers.postgres, servers.redis) if server is not None]
    return [
        # These have answered before their start returns, so they may die often and come back each time.
        *(Supervised(server.service, server.start, early_seconds=1.0) for server in embedded),
        *(Supervised(service, service.spawn) for service in services),
    ]


def wait_for_port(service: Service, port: int, seconds: float = 10.0) -> None:
    """Wait until a service listens; raises where it ends, or does not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        require_alive(service)
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        pause(TICK / 5)
    raise LaunchError(f"{service.name} does not listen on port {port}.\n{last_lines(service.log)}")


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
    request = urllib.request.Request(
        f"http://{HOST}:{port}/api/health/", headers={"Host": _own_host(environment)}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as response:
            return response.status == 200, str(response.status)
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return False, f"{error}"


def _own_host(environment: Mapping[str, str]) -> str:
    """A host that the platform answers to."""
    return environment.get("ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".") or HOST


def _hint(environment: Mapping[str, str]) -> str:
    if server_set.is_production(environment):
        return ""
    return "  No demo data is made in a database given by DATABASE_URL."


def _provider(folder: DataFolder, environment: dict[str, str], port: int) -> Service | None:
    """The simulated payment provider where it is switched on and not given by ``SIMULATOR_URL``.

    Tells the environment where it is, and it where the platform is.
    """
    if not is_simulated(environment) or server_set.is_set("SIMULATOR_URL", os.environ):
        return None
    own, is_expected = simulator_port(port, folder)
    if not is_expected:
        say(f"  Port {port + 1} is taken by another program; the payment simulator takes {own}.")
    note_simulator(folder, own)
    environment["SIMULATOR_PORT"] = str(own)
    environment["SIMULATOR_URL"] = f"http://{HOST}:{own}"
    webhooks = f"http://{HOST}:{port}/api/payments/webhooks/simulator/"
    environment.setdefault("SIMULATOR_WEBHOOK_URL", webhooks)
    environment.setdefault("SIMULATOR_WEBHOOK_HOST", _own_host(environment))
    environment.setdefault("SIMULATOR_DATABASE", str(folder.path / "simulator.sqlite3"))
    return simulator(folder, environment)


def is_simulated(environment: Mapping[str, str]) -> bool:
    """As the settings have it: in development by default, in production only by name."""
    default = "" if server_set.is_production(environment) else "simulator"
    named = environment.get("PAYMENT_PROVIDERS", "").strip() or default
    return "simulator" in [name.strip() for name in named.split(",")]
