"""Webhooks: how fast providers' are taken in, and how long ours take from the commit to their receiver.

What these candidates need runs during their own turns alone: a relay that looks for work ten times a
second would be felt by the others.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.candidates import Unavailable
from benchmarks.candidates.http import Web
from benchmarks.candidates.service import migrate, ours_environment
from benchmarks.database import Server
from benchmarks.orders import Loader
from benchmarks.turns import Turn
from benchmarks.workload import DELIVERY, INTAKE, Case
from fintech_core.embedded import services
from fintech_core.embedded.folders import DataFolder
from fintech_core.embedded.processes import Service, stop_together
from fintech_core.signing import new_secret

INTAKE_PATH = "/api/payments/webhooks/simulator/"

# The rungs of delivery: so many transfers a second, or so many in one commit.
STEADY, BURST = "20 a second", "500 at once"
RATE = 20
BURST_SIZE = 500
# A steady turn takes so many times the seconds of others, and has this many transfers at least.
STEADY_TIMES, STEADY_LEAST = 3, 100
ACCOUNTS = 64
RECEIVERS = 16
PATIENCE = 60.0
# A word for an event that came again.
TWICE = "twice"

NOT_KEPT = """
SELECT event_id FROM payments_providerevent
GROUP BY event_id
HAVING count(*) > 1 OR NOT bool_and(
    digest = sha256(body) AND convert_from(body, 'UTF8')::jsonb ->> 'id' = event_id
)
"""
UNSETTLED = """
SELECT (SELECT count(*) FROM events_outboxevent)
     + (SELECT count(*) FROM webhooks_delivery WHERE status = 'pending')
"""


class Intake:
    """The web server as ``make run`` starts it, told of payments by a simulated provider.

    What is measured is the way to the 200: verified, and stored for a worker. None is there to act on it.
    """

    name = "ours intake"
    database = "bench_intake"

    def __init__(self, server: Server) -> None:
        self._server = server
        self._secret = new_secret()
        self._accepted: set[str] = set()

    def takes(self, case: Case) -> bool:
        return case.level == INTAKE

    def prepare(self) -> None:
        self._server.create(self.database)
        migrate(ours_environment(self._server, self.database))

    def turn(self, case: Case, seconds: int) -> Turn:
        environment = {
            **ours_environment(self._server, self.database),
            "PAYMENT_PROVIDERS": "simulator",
            "SIMULATOR_WEBHOOK_SECRET": self._secret,
        }
        web = Web()
        try:
            web.start_ours(environment)
            web.aim(speaks="events", path=INTAKE_PATH, tokens=[], names=[], secret=self._secret)
            # The server has just begun: the others' have been warm for long.
            warmed = web.turn(case, 1, 0)
            turn = web.turn(case, seconds, 0)
            self._accepted |= set(web.accepted())
        finally:
            web.stop()
        turn.made += warmed.made
        return turn

    def check(self) -> list[str]:
        """Every accepted event is stored exactly once, as it was signed; and nothing else is."""
        with self._server.connect(self.database) as connection:
            rows = connection.execute("SELECT event_id FROM payments_providerevent").fetchall()
            strange = connection.execute(NOT_KEPT).fetchall()
        stored = {str(row[0]) for row in rows}
        return [
            *(f"accepted and not stored: {event}" for event in self._accepted - stored),
            *(f"stored and not accepted: {event}" for event in stored - self._accepted),
            *(f"stored twice or otherwise than sent: {row[0]}" for row in strange),
        ]

    def close(self) -> None:
        """Nothing is left running between turns."""


class Delivery:
    """Transfers, and the relay and workers as ``make run`` starts them, to receivers on this machine.

    A latency is the time from the answer of the transfer's commit to the receipt of its event.
    """

    name = "ours delivery"
    database = "bench_delivery"

    def __init__(self, server: Server) -> None:
        self._server = server
        self._secrets: dict[str, str] = {}
        self._made = 0
        self._broken: list[str] = []
        self._receiver: Loader | None = None
        self._payer: Loader | None = None

    def takes(self, case: Case) -> bool:
        return case.level == DELIVERY

    def prepare(self) -> None:
        self._server.create(self.database)
        migrate(self._environment())
        self._payer = Loader("benchmarks.paced", [], self._environment())
        self._receiver = Loader("benchmarks.receiver", [], {})
        self._payer.ask(do="prepare", accounts=ACCOUNTS)
        port = self._receiver.ask(do="listen")
        self._secrets = self._payer.ask(do="listen", port=port, listeners=RECEIVERS)
        # By what the accounts got their money is no part of this.
        with self._server.connect(self.database) as connection:
            connection.execute("DELETE FROM events_outboxevent")

    def turn(self, case: Case, seconds: int) -> Turn:
        steady = max(STEADY_LEAST, RATE * STEADY_TIMES * seconds)
        count, rate = (steady, RATE) if case.rung == STEADY else (BURST_SIZE, 0)
        with self._running() as running:
            # One event for each endpoint: the first one it answers lets it have several at once.
            self._send(RECEIVERS, rate=0, receivers=RECEIVERS)
            used = {service.name: _cpu_seconds(service) for service in running}
            turn = self._send(count, rate=rate, receivers=case.callers)
            spent = {
                service.name: _cpu_seconds(service) - used[service.name] for service in running
            }
        turn.made += RECEIVERS
        told = (f"{name} {1000 * cpu / count:.1f}" for name, cpu in spent.items() if cpu > 0)
        turn.note = "CPU per event in ms: " + ", ".join(told)
        return turn

    @contextmanager
    def _running(self) -> Iterator[list[Service]]:
        """Relay and workers of webhooks."""
        with tempfile.TemporaryDirectory(prefix="bench-delivery-") as folder:
            data = DataFolder(Path(folder))
            data.make()
            environment = {**os.environ, **self._environment()}
            everything = services.background(data, environment)
            running = [
                service
                for service in everything
                if service.name == "Relay" or service.name.startswith("Celery webhooks")
            ]
            with ExitStack() as stack:
                stack.callback(stop_together, running)
                for service in running:
                    service.spawn()
                yield running

    def _environment(self) -> dict[str, str]:
        return {
            **ours_environment(self._server, self.database),
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }

    def _send(self, count: int, *, rate: float, receivers: int) -> Turn:
        """So many transfers, until all that is told of them is told. Raises ``Unavailable``."""
        assert self._payer is not None
        assert self._receiver is not None
        self._receiver.ask(do="begin")
        paid = self._payer.ask(do="pay", count=count, rate=rate, listeners=receivers)
        self._made += count
        waited = self._receiver.ask(do="wait", count=count, seconds=PATIENCE)
        if not waited["count"]:
            raise Unavailable(f"no event came within {PATIENCE:.0f} s")
        self._settle()
        # Whatever has come too often has come by now.
        told = self._receiver.ask(do="tell", secrets=self._secrets)
        turn = _turn(dict(paid), told, waited["cpu"])
        # An event may come twice, if rarely; what is promised is that none is lost, and none forged.
        broken = {word: times for word, times in turn.problems.items() if word != TWICE}
        self._broken += [f"{word} x{times}" for word, times in broken.items()]
        return turn

    def _settle(self) -> None:
        """Wait until nothing is left to be told; as for what is, the check tells."""
        deadline = time.monotonic() + PATIENCE
        with self._server.connect(self.database) as connection:
            while time.monotonic() < deadline:
                row = connection.execute(UNSETTLED).fetchone()
                if row is not None and row[0] == 0:
                    return
                time.sleep(0.05)

    def check(self) -> list[str]:
        """The books agree, there are exactly as many events as transfers, and each was delivered."""
        assert self._payer is not None
        found: list[str] = self._payer.ask(do="check") + self._broken
        with self._server.connect(self.database) as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM webhooks_webhookevent), count(*), count(*) FILTER"
                " (WHERE status = 'delivered') FROM webhooks_delivery"
            ).fetchone()
        if row != (self._made,) * 3:
            found.append(f"of {self._made} transfers: events, deliveries, delivered: {row}")
        return found

    def close(self) -> None:
        for loader in (self._payer, self._receiver):
            if loader is not None:
                loader.close()


def _turn(
    paid: dict[str, float], told: Sequence[tuple[str, float, str]], receiver_cpu: float
) -> Turn:
    """What came of the transfers of one turn, whose ids and times of commit are ``paid``."""
    arrived: dict[str, float] = {}
    problems: Counter[str] = Counter()
    for transaction, at, trouble in told:
        if trouble or transaction not in paid:
            problems[trouble or "of no transfer"] += 1
        elif transaction in arrived:
            problems[TWICE] += 1
        else:
            arrived[transaction] = at
    problems["lost"] = len(paid) - len(arrived)
    return Turn(
        posted=len(arrived),
        seconds=max(arrived.values(), default=0.0) - min(paid.values()),
        latencies=[(at - paid[transaction]) * 1000 for transaction, at in arrived.items()],
        made=len(paid),
        cpu=receiver_cpu,
        problems=+problems,
    )


def _cpu_seconds(service: Service) -> float:
    """What a process has used so far; 0 where the system does not tell."""
    process: Any = service.process
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
