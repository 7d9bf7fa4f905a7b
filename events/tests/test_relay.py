"""The relay: what is due is handed over once, whoever else is at it, and trouble loses nothing."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection, connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from events import relay as relaying
from events.publishing import BrokerUnavailable
from events.relay import Relay, hand_over_due, publisher
from payments.models import ProviderEvent
from tests.faults.brokers import ROOT, OwnRedis, environment, own_redis, point_at, until

pytestmark = pytest.mark.usefixtures("committed")

LEASE = timedelta(seconds=60)
TASK = "payments.handle_event"


@pytest.fixture(scope="module")
def server() -> Iterator[OwnRedis]:
    with own_redis() as started:
        yield started


@pytest.fixture
def broker(server: OwnRedis, settings: Any) -> Iterator[OwnRedis]:
    if not server.is_running:
        server.start()
    server.client().flushall()
    point_at(settings, server.url)
    yield server
    publisher.close()


def make_due(count: int, *, provider: str | None = None) -> "QuerySet[ProviderEvent]":
    """Rows that are due, of nobody else."""
    provider = provider or f"p{uuid.uuid4().hex[:12]}"
    now = timezone.now()
    ProviderEvent.objects.bulk_create(
        ProviderEvent(
            provider=provider,
            event_id=uuid.uuid4().hex,
            type="payment.succeeded",
            body=b"{}",
            digest=b"\0" * 32,
            next_attempt_at=now,
            created_at=now,
            received_at=now,
        )
        for _ in range(count)
    )
    return ProviderEvent.objects.filter(provider=provider)


def hand_over(rows: "QuerySet[ProviderEvent]", **options: Any) -> int:
    return hand_over_due(rows, task=TASK, lease=LEASE, **options)


def queued(broker: OwnRedis, queue: str = "money") -> int:
    return int(broker.client().llen(queue))


def due(rows: "QuerySet[ProviderEvent]") -> int:
    return rows.filter(next_attempt_at__lte=timezone.now()).count()


def test_what_is_due_is_handed_over_once_and_leased(broker: OwnRedis) -> None:
    rows = make_due(3)
    assert hand_over(rows) == 3
    assert (queued(broker), due(rows)) == (3, 0)
    assert hand_over(rows) == 0


def test_a_lost_message_costs_only_the_lease(broker: OwnRedis) -> None:
    rows = make_due(2)
    hand_over(rows)
    broker.client().flushall()
    # As it is when the lease has run out.
    rows.update(next_attempt_at=timezone.now())
    assert hand_over(rows) == 2
    assert queued(broker) == 2


def test_several_relays_hand_each_row_over_once(broker: OwnRedis) -> None:
    rows = make_due(200)
    start = threading.Barrier(8)

    def relay(_: int) -> int:
        start.wait()
        handed_over = 0
        try:
            while moved := hand_over(rows, limit=10):
                handed_over += moved
        finally:
            publisher.close()
            connections.close_all()
        return handed_over

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(relay, range(8))) == 200
    assert queued(broker) == 200


def test_a_long_queue_is_not_made_longer(broker: OwnRedis, settings: Any) -> None:
    settings.RELAY_QUEUE_LIMIT = 5
    rows = make_due(20)
    publisher.close()
    assert hand_over(rows) == 5
    assert hand_over(rows) == 0
    assert due(rows) == 15
    broker.client().delete("money")
    publisher.close()
    assert hand_over(rows) == 5


def test_a_queue_of_its_own_may_be_named(broker: OwnRedis) -> None:
    assert hand_over(make_due(1), queue="webhooks_slow") == 1
    assert (queued(broker), queued(broker, "webhooks_slow")) == (0, 1)


def test_nothing_is_claimed_while_the_broker_is_away(broker: OwnRedis) -> None:
    rows = make_due(2)
    broker.stop()
    publisher.close()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        hand_over(rows)
    assert time.monotonic() - started < 3
    assert due(rows) == 2


def test_what_a_broker_that_dies_did_not_take_is_due_at_once(
    broker: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_due(5)
    original = publisher.publish
    taken: list[uuid.UUID] = []

    def publish(task: str, row_id: uuid.UUID, *, queue: str) -> None:
        if len(taken) == 2:
            broker.stop()
        original(task, row_id, queue=queue)
        taken.append(row_id)

    monkeypatch.setattr(publisher, "publish", publish)
    with pytest.raises(BrokerUnavailable):
        hand_over(rows)
    assert due(rows) == 3
    assert not rows.filter(next_attempt_at__lte=timezone.now(), pk__in=taken).exists()


def test_a_frozen_broker_is_given_up_in_time(broker: OwnRedis) -> None:
    rows = make_due(1)
    assert hand_over(make_due(1)) == 1
    broker.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            hand_over(rows)
        assert time.monotonic() - started < 4
    finally:
        broker.send(signal.SIGCONT)
    assert due(rows) == 1


def test_a_relay_whose_connection_to_postgresql_breaks_goes_on(broker: OwnRedis) -> None:
    rows = make_due(3)
    relay = Relay([("rows", lambda: hand_over(rows))])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    killer = connections.create_connection("default")
    with killer.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    killer.close()
    assert relay.go_round() == 0
    assert relay.in_trouble() == ["rows"]
    until(lambda: relay.go_round() == 3, 5)
    assert relay.in_trouble() == []


def test_a_claim_in_a_transaction_is_refused(broker: OwnRedis) -> None:
    """Else a message could tell of a row that is never committed."""
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        hand_over(make_due(1))


def test_a_feed_in_trouble_rests_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    calls = {"broken": 0, "sound": 0}
    works = False

    def broken() -> int:
        calls["broken"] += 1
        if not works:
            raise OperationalError("gone")
        return 0

    def sound() -> int:
        calls["sound"] += 1
        return 0

    relay = Relay([("broken", broken), ("sound", sound)])
    stop = threading.Event()
    with caplog.at_level(logging.WARNING):
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            relay.go_round(stop)
            time.sleep(0.005)
        works = True
        until(lambda: relay.go_round(stop) == 0 and not relay.in_trouble(), 6)
    assert calls["broken"] < 10
    assert calls["sound"] > 20
    told = [record.message for record in caplog.records if record.name == "events.relay"]
    assert told == ["relay_in_trouble", "relay_goes_on"]


def test_an_idle_relay_does_not_spin() -> None:
    calls = []
    stop = threading.Event()
    relay = Relay([("idle", lambda: len(calls.append(1) or []))])  # type: ignore[func-returns-value]
    running = threading.Thread(target=relay.run, args=(stop,))
    running.start()
    time.sleep(0.65)
    stop.set()
    running.join(timeout=2)
    assert not running.is_alive()
    assert 2 <= len(calls) <= 8


class Look:
    """A look whose answer is told; afterwards it counts how often it was asked."""

    def __init__(self, *due: str) -> None:
        self.due: Any = set(due)
        self.count = 0

    def __call__(self) -> set[str]:
        self.count += 1
        if isinstance(self.due, Exception):
            raise self.due
        return set(self.due)


def run_for(relay: Relay, seconds: float) -> None:
    stop = threading.Event()
    running = threading.Thread(target=relay.run, args=(stop,))
    running.start()
    time.sleep(seconds)
    stop.set()
    running.join(timeout=2)
    assert not running.is_alive()


def counted(turns: dict[str, int], name: str) -> Any:
    def feed() -> int:
        turns[name] = turns.get(name, 0) + 1
        return 0

    return name, feed


def test_only_a_feed_with_something_due_has_a_turn() -> None:
    turns: dict[str, int] = {}
    look = Look("busy")
    run_for(Relay([counted(turns, "busy"), counted(turns, "quiet")], look), 0.65)
    # One for each in the first round, which asks nobody.
    assert turns["quiet"] == 1
    assert 3 <= turns["busy"] <= 9
    assert look.count >= turns["busy"] - 1


def test_every_feed_has_its_turn_now_and_then_whatever_the_look_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relaying, "ROUND_SECONDS", 0.1)
    turns: dict[str, int] = {}
    run_for(Relay([counted(turns, "unseen")], Look()), 0.65)
    assert 3 <= turns["unseen"] <= 7


def test_a_look_that_fails_leaves_every_feed_its_turn() -> None:
    turns: dict[str, int] = {}
    look = Look()
    look.due = OperationalError("gone")
    run_for(Relay([counted(turns, "first"), counted(turns, "second")], look), 0.65)
    assert turns["first"] == turns["second"] >= 3


def test_once_hands_over_what_is_due_and_says_when_it_cannot(
    broker: OwnRedis, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.RELAY_FEEDS = {"two": f"{__name__}.feed_of_two", "none": f"{__name__}.feed_of_none"}
    _left.extend([2, 1])
    call_command("relay", "--once")
    assert capsys.readouterr().out == "3 handed over.\n"
    settings.RELAY_FEEDS = {"troubled": f"{__name__}.feed_in_trouble"}
    with pytest.raises(CommandError, match="troubled"):
        call_command("relay", "--once")


_left: list[int] = []


def feed_of_two() -> int:
    return _left.pop() if _left else 0


def feed_of_none() -> int:
    return 0


def feed_in_trouble() -> int:
    raise BrokerUnavailable("gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_relay_in_time_even_without_a_broker(number: signal.Signals) -> None:
    env = environment("redis+socket:///nowhere/r.sock?virtual_host=0")
    command = [sys.executable, "-u", "manage.py", "relay"]
    relay = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE)
    try:
        assert relay.stderr is not None
        # Its first words: that the broker is away.
        assert b"relay_in_trouble" in relay.stderr.readline()
        started = time.monotonic()
        os.kill(relay.pid, number)
        assert relay.wait(timeout=10) == 0
        assert time.monotonic() - started < 4
    finally:
        relay.kill()
        relay.wait()
