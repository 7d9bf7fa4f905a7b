"""Events reach their wallets whatever happens to workers, relay and broker on the way."""

import os
import random
import re
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connections
from django.test import Client

from fintech_core import signing
from payments.models import EventStatus, IntentStatus, PaymentIntent, ProviderEvent
from payments.providers.base import PaymentState
from payments.providers.registry import registered
from tests.faults.brokers import (
    OwnRedis,
    Processes,
    environment,
    own_redis,
    running,
    until,
    worker_command,
)
from tests.faults.fake_provider import Delivery, FakeProvider
from tests.faults.payments import (
    credits_of,
    deliver,
    make_payment,
    stored,
    succeed,
    told_of,
)
from transactions.tests.factories import balance_of
from users.tests.factories import make_user

pytestmark = [pytest.mark.usefixtures("committed"), pytest.mark.timeout(0)]


@dataclass
class Floor:
    """A broker, a relay and workers of the test's own, on the test's database."""

    provider: FakeProvider
    redis: OwnRedis
    relay: Processes
    workers: Processes
    deaths: Path

    def is_settled(self, events: int) -> bool:
        """So many events are stored for the fake provider, and none is left to be acted on."""
        mine = ProviderEvent.objects.filter(event_id__startswith=self.prefix)
        return mine.count() == events and not mine.filter(status=EventStatus.PENDING).exists()

    prefix: str = ""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[FakeProvider]:
    folder = tmp_path / "provider"
    folder.mkdir()
    fake = FakeProvider(folder)
    with registered(fake):
        yield fake


@pytest.fixture
def floor(
    request: pytest.FixtureRequest, provider: FakeProvider, tmp_path: Path
) -> Iterator[Floor]:
    count, processes = getattr(request, "param", (1, 2))
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    with ExitStack() as stack:
        redis = stack.enter_context(own_redis())
        env = environment(
            redis.url,
            FAKE_PROVIDER=str(provider.outage.parent),
            DEATHS=str(deaths),
            BROKER_VISIBILITY_SECONDS="20",
        )
        relay = running("manage.py", "relay", env=env, log=tmp_path / "relay.log", count=count)
        command = worker_command("money", "-c", str(processes))
        command[1] = "tests.faults.celery_worker"
        del command[2:4]
        workers = running(*command, env=env, log=tmp_path / "workers.log", count=count)
        yield Floor(
            provider,
            redis,
            stack.enter_context(relay),
            stack.enter_context(workers),
            deaths,
            prefix=f"evt_{uuid.uuid4().hex[:12]}_",
        )


def event(floor: Floor, told: object) -> Delivery:
    return Delivery(told, event_id=f"{floor.prefix}{uuid.uuid4().hex}")  # type: ignore[arg-type]


def test_an_event_lands_within_a_second_or_two(floor: Floor) -> None:
    """The first one waits for the worker to start."""
    for allowed in (30.0, 2.0, 2.0):
        intent = make_payment(amount="4.00")
        assert deliver(event(floor, succeed(floor.provider, intent))) == 200
        started = time.monotonic()
        until(lambda user=intent.user: balance_of(user) == "4.00", allowed)  # type: ignore[misc]
        assert time.monotonic() - started < allowed


@pytest.mark.parametrize("who", ["one process", "all of the worker"])
def test_a_worker_killed_between_commit_and_acknowledgement_credits_once(
    floor: Floor, who: str
) -> None:
    """The message comes again, and finds that all is done."""
    intent = make_payment()
    delivery = event(floor, succeed(floor.provider, intent))
    wish = floor.deaths / who.replace(" ", "_")
    wish.touch()
    assert deliver(delivery) == 200
    until(lambda: not wish.exists(), 30)
    # Whoever comes next is not killed, and works.
    other = make_payment()
    assert deliver(event(floor, succeed(floor.provider, other))) == 200
    until(lambda: floor.is_settled(2), 30)
    until(lambda: _unacknowledged(floor.redis) == 0, 60)
    [again] = [task for task, times in _received(floor).items() if times > 1]
    assert again
    assert len(credits_of([intent])) == 1
    assert stored(delivery).attempts == 1


def _received(floor: Floor) -> Counter[str]:
    """How often a worker was given each message."""
    return Counter(re.findall(r"handle_event\[([0-9a-f-]+)\] received", floor.workers.text()))


def _unacknowledged(redis: OwnRedis) -> int:
    client = redis.client()
    return int(client.hlen("unacked")) + int(client.llen("money"))  # type: ignore[arg-type]


def test_redis_emptied_over_and_over_loses_and_doubles_nothing(floor: Floor) -> None:
    over = threading.Event()

    def empty() -> None:
        client = floor.redis.client()
        while not over.wait(0.05):
            client.flushall()

    emptying = threading.Thread(target=empty)
    emptying.start()
    try:
        intents = [make_payment() for _ in range(30)]
        for intent in intents:
            assert deliver(event(floor, succeed(floor.provider, intent))) == 200
            _lose_leases(floor)
    finally:
        over.set()
        emptying.join()
    _settle(floor, 30)
    assert sorted(t.to_wallet_id for t in credits_of(intents)) == sorted(
        intent.wallet_id for intent in intents
    )


def test_a_broker_that_is_killed_and_comes_back_empty_loses_nothing(floor: Floor) -> None:
    intents = [make_payment() for _ in range(20)]
    floor.redis.stop()
    for intent in intents[:10]:
        assert deliver(event(floor, succeed(floor.provider, intent))) == 200
    floor.redis.start()
    for intent in intents[10:]:
        assert deliver(event(floor, succeed(floor.provider, intent))) == 200
    _settle(floor, 20)
    assert len(credits_of(intents)) == 20


def test_events_wait_while_their_provider_is_down_and_then_land(floor: Floor) -> None:
    """Each needs a word of its provider: the payment failed at first, and then succeeded."""
    intents = [make_payment() for _ in range(5)]
    for intent in intents:
        deliver(event(floor, told_of(intent, PaymentState.FAILED)))
    until(lambda: floor.is_settled(5), 30)
    told = [succeed(floor.provider, intent) for intent in intents]
    floor.provider.outage.touch()
    for payment in told:
        assert deliver(event(floor, payment)) == 200
    mine = ProviderEvent.objects.filter(event_id__startswith=floor.prefix)
    until(lambda: mine.filter(failure="provider_unavailable").count() == 5, 30)
    assert credits_of(intents) == []
    floor.provider.outage.unlink()
    until(lambda: floor.is_settled(10), 60)
    assert len(credits_of(intents)) == 5


def _lose_leases(floor: Floor) -> None:
    """As when a minute has passed: what was handed over and is not done is due again."""
    from django.utils import timezone

    mine = ProviderEvent.objects.filter(
        event_id__startswith=floor.prefix, status=EventStatus.PENDING, paused_until=None
    )
    mine.update(next_attempt_at=timezone.now())


def _settle(floor: Floor, events: int, seconds: float = 120) -> None:
    """Wait until all is done, with leases that end after two seconds instead of a minute."""
    deadline = time.monotonic() + seconds
    while not floor.is_settled(events):
        assert time.monotonic() < deadline, f"not settled within {seconds} s"
        _lose_leases(floor)
        with suppress(AssertionError):
            until(lambda: floor.is_settled(events), 2)


@dataclass
class Mail:
    """Deliveries of which some are forged: duplicates are the same object twice."""

    honest: list[Delivery]
    forged: list[Delivery]

    def shuffled(self, chance: random.Random) -> list[tuple[Delivery, int]]:
        """Each with the status that it must get."""
        mixed = [(one, 200) for one in self.honest] + [(one, 400) for one in self.forged]
        chance.shuffle(mixed)
        return mixed


def write_mail(floor: Floor, count: int, chance: random.Random) -> tuple[Mail, list[PaymentIntent]]:
    """So many deliveries: 30 % duplicates, 5 % forged, of payments with four events each.

    Every other payment succeeds; the others fail, or are called off.
    """
    forgeries, duplicates = count * 5 // 100, count * 30 // 100
    originals = count - forgeries - duplicates
    intents, honest = [], []
    users = [make_user(tier=2) for _ in range(max(4, originals // 200))]
    while len(honest) < originals:
        intent = make_payment(chance.choice(users), amount=f"{chance.randint(1, 900) / 100:.2f}")
        intents.append(intent)
        end = chance.choice(
            [
                PaymentState.SUCCEEDED,
                PaymentState.SUCCEEDED,
                PaymentState.FAILED,
                PaymentState.CANCELED,
            ]
        )
        story = [
            PaymentState.REQUIRES_CONFIRMATION,
            PaymentState.PROCESSING,
            PaymentState.FAILED,
            end,
        ]
        floor.provider.tell(told_of(intent, end))
        honest += [event(floor, told_of(intent, state)) for state in story]
    honest = honest[:originals] + [chance.choice(honest[:originals]) for _ in range(duplicates)]
    forged = []
    for _ in range(forgeries):
        # Somebody claims that a payment has succeeded, for more than it was about.
        told = told_of(chance.choice(intents), PaymentState.SUCCEEDED)
        forged.append(
            Delivery(told, event_id=f"{floor.prefix}forged_{uuid.uuid4().hex}", secret=_THIEF)
        )
    return Mail(honest, forged), intents


_THIEF = signing.new_secret()


@pytest.mark.parametrize("floor", [(2, 2)], indirect=True)
def test_deliveries_doubled_shuffled_and_forged_while_workers_die(
    floor: Floor, pytestconfig: pytest.Config
) -> None:
    """One effect each, no forgery accepted, and the end that the provider knows for every payment."""
    count = pytestconfig.getoption("--webhook-deliveries")
    seed = pytestconfig.getoption("--webhook-seed")
    chance = random.Random(seed)
    mail, intents = write_mail(floor, count, chance)
    over = threading.Event()
    killed = []

    def kill() -> None:
        """A worker, or one of its processes, every second or so; a relay now and then."""
        fate = random.Random(seed + 1)
        while not over.wait(fate.uniform(0.5, 2.0)):
            victims = floor.relay if fate.random() < 0.2 else floor.workers
            if pids := victims.pids:
                floor_kill(victims, fate.choice(pids))
                killed.append(1)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        answers = send_all(mail.shuffled(chance))
        _wait_a_little(floor, over)
    finally:
        over.set()
        killing.join()
    assert answers == []
    unique = {one.event_id for one in mail.honest}
    _settle(floor, len(unique), seconds=60 + count / 20)
    stored_ids = ProviderEvent.objects.filter(event_id__startswith=floor.prefix)
    assert set(stored_ids.values_list("event_id", flat=True)) == unique
    check_ends(floor, mail, intents)
    assert killed


def floor_kill(processes: Processes, pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def send_all(mail: list[tuple[Delivery, int]]) -> list[tuple[str, int]]:
    """Send everything by eight clients; what was answered otherwise than it must be."""
    left = iter(mail)
    taking = threading.Lock()
    wrong = []

    def send(_: int) -> None:
        client = Client(HTTP_HOST="localhost")
        try:
            while True:
                with taking:
                    item = next(left, None)
                if item is None:
                    return
                delivery, expected = item
                status = deliver(delivery, client)
                if status != expected:
                    wrong.append((delivery.event_id, status))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(8)))
    return wrong


def _wait_a_little(floor: Floor, over: threading.Event) -> None:
    """Let workers die while the rest is acted on, too."""
    deadline = time.monotonic() + 10
    mine = ProviderEvent.objects.filter(event_id__startswith=floor.prefix)
    while time.monotonic() < deadline and mine.filter(status=EventStatus.PENDING).exists():
        _lose_leases(floor)
        over.wait(1)


def check_ends(floor: Floor, mail: Mail, intents: list[PaymentIntent]) -> None:
    """Of a payment all of whose events came, what is here is what the provider knows."""
    deposits: dict[uuid.UUID, int] = {}
    rows = {row.pk: row for row in PaymentIntent.objects.filter(pk__in=[i.pk for i in intents])}
    for row in rows.values():
        if row.transaction_id is not None:
            deposits[row.transaction_id] = deposits.get(row.transaction_id, 0) + 1
    assert len(credits_of(intents)) == len(deposits)
    assert set(deposits.values()) <= {1}
    # The last payment's events may have been cut off.
    for intent in intents[:-1]:
        row = rows[intent.pk]
        known = floor.provider.fetch_payment(intent.provider_reference)
        assert row.status == known.state.value, row.pk
        assert (row.transaction_id is not None) == (row.status == IntentStatus.SUCCEEDED)
