"""Which web server: transfers per second through granian and gunicorn, interleaved on one machine.

Run with ``python3 dev.py with-servers --temporary -- .venv/bin/python -m benchmarks.web_server``. The
candidates take turns for some rounds against one database; each figure is the median of its rounds. The
clients share the machine's cores with what they measure, so only the ratios mean anything elsewhere.
gunicorn is no dependency of the project: without it installed, granian's settings alone are compared.
"""

import argparse
import http.client
import importlib.util
import json
import logging
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field

TRANSFER = "/api/transactions/transactions/transfer/"


@dataclass
class Candidate:
    """A server's command and what was measured of it: transfers/s and latencies in ms by round."""

    name: str
    command: list[str]
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


def candidates(port: int) -> list[Candidate]:
    address = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "critical", "--no-ws"]
    granian = [sys.executable, "-m", "granian", *address, "--workers", "2"]
    buffered = [*granian, "--interface", "rsgi", "fintech_core.rsgi:application"]
    plain = [*granian, "--interface", "wsgi", "fintech_core.wsgi:application"]
    found = [
        Candidate("granian, buffered 2x4", buffered),
        Candidate("granian, WSGI 2x4", [*plain, "--blocking-threads", "4"]),
    ]
    if importlib.util.find_spec("gunicorn"):
        gunicorn = [sys.executable, "-m", "gunicorn", "fintech_core.wsgi:application"]
        gunicorn += ["--no-control-socket", "--bind", f"127.0.0.1:{port}"]
        gunicorn += ["--log-level", "critical"]
        threads = ["--worker-class", "gthread", "--workers", "2", "--threads", "4"]
        found += [
            Candidate("gunicorn, sync 4", [*gunicorn, "--workers", "4"]),
            Candidate("gunicorn, gthread 2x4", [*gunicorn, *threads]),
        ]
    return found


def make_callers(count: int) -> list[tuple[str, str]]:
    """(access token, recipient's email) of so many funded users who pay each other in a ring."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fintech_core.settings")
    import django

    django.setup()
    logging.disable(logging.INFO)
    from transactions.tests.factories import make_payer
    from users.tests.factories import access_token

    users = [make_payer("100000.00") for _ in range(count)]
    tokens = [access_token(user) for user in users]
    return [(tokens[i], users[(i + 1) % count].email) for i in range(count)]


def drive(port: int, token: str, recipient: str, until: float, seen: list[float]) -> None:
    """One client on one kept-alive connection; appends each transfer's latency in ms."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    while time.perf_counter() < until:
        body = {"to_user_email": recipient, "amount": "0.01", "idempotency_key": uuid.uuid4().hex}
        started = time.perf_counter()
        connection.request("POST", TRANSFER, json.dumps(body), headers)
        response = connection.getresponse()
        told = response.read()
        if response.status != 201:
            raise SystemExit(f"{response.status}: {told[:300]!r}")
        seen.append((time.perf_counter() - started) * 1000)
    connection.close()


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/api/health/ready/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The server did not become ready.")


def measure(
    candidate: Candidate, port: int, callers: list[tuple[str, str]], seconds: float
) -> None:
    server = subprocess.Popen(candidate.command, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(port)
        for warm_up in (True, False):
            seen: list[float] = []
            started = time.perf_counter()
            until = started + (1.0 if warm_up else seconds)
            threads = [
                threading.Thread(target=drive, args=(port, token, recipient, until, seen))
                for token, recipient in callers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        candidate.rates.append(len(seen) / (time.perf_counter() - started))
        candidate.latencies += seen
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    callers = make_callers(options.connections)
    found = candidates(options.port)
    for number in range(options.rounds):
        for candidate in found:
            measure(candidate, options.port, callers, options.seconds)
            print(
                f"round {number + 1} {candidate.name:22} {candidate.rates[-1]:7.0f}/s", flush=True
            )
    best = max(statistics.median(candidate.rates) for candidate in found)
    print(f"\n{'candidate':22} {'median/s':>8} {'of best':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for candidate in found:
        rate = statistics.median(candidate.rates)
        cuts = statistics.quantiles(candidate.latencies, n=100)
        print(f"{candidate.name:22} {rate:8.0f} {rate / best:8.2f} {cuts[49]:8.1f} {cuts[98]:8.1f}")


if __name__ == "__main__":
    main()
