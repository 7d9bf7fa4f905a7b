"""Events reach their wallets whatever happens to workers, relay and broker on the way."""

import os
import random
import re
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from payments.models import EventStatus, PaymentIntent, ProviderEvent
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
from tests.faults.deliveries import check_ends, send_all, write_mail
from tests.faults.fake_provider import Delivery, FakeProvider
from tests.faults.payments import (
    credits_of,
    deliver,
    make_payment,
    stored,
    succeed,
    told_of,
)
from tests.faults.platform import children
from transactions.tests.factories import balance_of

pytestmark = [
    pytest.mark.faults,
    pytest.mark.usefixtures("committed"),
    pytest.mark.timeout(0),
]


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
    # Celery takes 10 s to be sure that a process is lost; a task's limit must be longer (2/5 of this).
    count, visibility = getattr(request, "param", (1, 60))
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    with ExitStack() as stack:
        redis = stack.enter_context(own_redis())
        env = environment(
            redis.url,
            FAKE_PROVIDER=str(provider.outage.parent),
            DEATHS=str(deaths),
            BROKER_VISIBILITY_SECONDS=str(visibility),
        )
        relay = running("manage.py", "relay", env=env, log=tmp_path / "relay.log", count=count)
        command = worker_command("money", "-c", "2", module="tests.faults.celery_worker")
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


def test_an_event_lands_within_two_seconds(floor: Floor) -> None:
    """At its best: the first one waits for the worker to start, and the machine may be busy."""
    took = []
    for _ in range(5):
        intent = make_payment(amount="4.00")
        assert deliver(event(floor, succeed(floor.provider, intent))) == 200
        started = time.monotonic()
        until(partial(_has, intent, "4.00"), 60)
        took.append(time.monotonic() - started)
    assert min(took) < 2


def _has(intent: PaymentIntent, amount: str) -> bool:
    return balance_of(intent.user) == amount


@pytest.mark.parametrize(
    ("who", "floor"),
    [("one process", (1, 60)), ("all of the worker", (1, 12))],
    indirect=["floor"],
    ids=["one process", "all of the worker"],
)
def test_a_worker_killed_between_commit_and_acknowledgement_credits_once(
    floor: Floor, who: str
) -> None:
    """The message comes again, and finds that all is done."""
    intent = make_payment()
    delivery = event(floor, succeed(floor.provider, intent))
    wish = floor.deaths / who.replace(" ", "_")
    wish.touch()
    assert deliver(delivery) == 200
    until(lambda: not wish.exists(), 60)
    # Whoever comes next is not killed, and works.
    other = make_payment()
    assert deliver(event(floor, succeed(floor.provider, other))) == 200
    until(lambda: floor.is_settled(2), 60)
    until(lambda: max(_received(floor).values()) > 1, 60)
    until(lambda: _unacknowledged(floor.redis) == 0, 60)
    assert len(credits_of([intent])) == 1
    assert stored(delivery).attempts == 1


def _received(floor: Floor) -> Counter[str]:
    """How often a worker was given each message."""
    return Counter(re.findall(r"handle_event\[([0-9a-f-]+)\] received", floor.workers.text()))


def _unacknowledged(redis: OwnRedis) -> int:
    client = redis.client()
    return int(client.hlen("unacked")) + int(client.llen("money"))


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
    until(lambda: floor.is_settled(5), 60)
    told = [succeed(floor.provider, intent) for intent in intents]
    floor.provider.outage.touch()
    for payment in told:
        assert deliver(event(floor, payment)) == 200
    mine = ProviderEvent.objects.filter(event_id__startswith=floor.prefix)
    until(lambda: mine.filter(failure="provider_unavailable").count() == 5, 60)
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


@pytest.mark.parametrize("floor", [(2, 60)], indirect=True)
def test_deliveries_doubled_shuffled_and_forged_while_workers_die(
    floor: Floor, pytestconfig: pytest.Config
) -> None:
    """One effect each, no forgery accepted, and the end that the provider knows for every payment."""
    count = pytestconfig.getoption("--webhook-deliveries")
    seed = pytestconfig.getoption("--webhook-seed")
    chance = random.Random(seed)
    mail, intents = write_mail(floor.provider, count, chance, prefix=floor.prefix)
    unique = {one.event_id for one in mail.honest}
    with Reaper(floor, random.Random(seed + 1)) as reaper:
        assert send_all(mail.shuffled(chance)) == []
        # Death goes on while the rest is acted on.
        with suppress(AssertionError):
            _settle(floor, len(unique), seconds=10 + count / 50)
    _settle(floor, len(unique), seconds=60 + count / 20)
    kept = ProviderEvent.objects.filter(event_id__startswith=floor.prefix)
    assert set(kept.values_list("event_id", flat=True)) == unique
    check_ends(floor.provider, intents)
    assert reaper.killed >= 3


class Reaper:
    """Kills -9, while the block lasts: processes of workers at work or right before they acknowledge,
    whole workers, relays."""

    def __init__(self, floor: Floor, fate: random.Random) -> None:
        self.killed = 0
        self._floor, self._fate = floor, fate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._reap)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for wish in self._floor.deaths.iterdir():
            wish.unlink(missing_ok=True)

    def _reap(self) -> None:
        whole_at = time.monotonic()
        while not self._over.wait(self._fate.uniform(0.3, 1.5)):
            what = self._fate.random()
            if what < 0.1:
                self._kill(self._floor.relay.pids)
            elif what < 0.3 and time.monotonic() - whole_at > 10:
                # Seldom enough that they come up in between.
                whole_at = time.monotonic()
                self._kill(self._floor.workers.pids, os.killpg)
            elif what < 0.6:
                (self._floor.deaths / f"wish-{self.killed}").touch()
                self.killed += 1
            else:
                self._kill([pid for one in self._floor.workers.pids for pid in children(one)])

    def _kill(self, pids: list[int], how: Callable[[int, signal.Signals], None] = os.kill) -> None:
        if pids:
            with suppress(ProcessLookupError):
                how(self._fate.choice(pids), signal.SIGKILL)
            self.killed += 1
