"""RabbitMQ as the broker: the same promises, over a real one where the machine has it."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import QuerySet

from events.publishing import BrokerUnavailable
from events.relay import hand_over_due, publisher
from fintech_core.celery import app
from payments.models import EventStatus, ProviderEvent
from payments.providers.registry import registered
from tests.faults.brokers import (
    RABBITMQ,
    Processes,
    environment,
    own_rabbitmq_queue,
    point_at,
    rabbitmq_answers,
    running,
    until,
    worker_command,
)
from tests.faults.celery_worker import own_queue
from tests.faults.fake_provider import Delivery, FakeProvider
from tests.faults.payments import credits_of, deliver, make_payment, stored, succeed

pytestmark = [
    pytest.mark.faults,
    pytest.mark.usefixtures("committed"),
    pytest.mark.skipif(not rabbitmq_answers(), reason="no RabbitMQ listens on 127.0.0.1:5672"),
]


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[FakeProvider]:
    folder = tmp_path / "provider"
    folder.mkdir()
    fake = FakeProvider(folder)
    with registered(fake):
        yield fake


@pytest.fixture
def queue(settings: Any) -> Iterator[str]:
    point_at(settings, RABBITMQ)
    with own_rabbitmq_queue() as name:
        app.amqp.queues.add(own_queue(name))
        yield name
        publisher.close()


@pytest.fixture
def deaths(tmp_path: Path) -> Path:
    folder = tmp_path / "deaths"
    folder.mkdir()
    return folder


@pytest.fixture
def worker(queue: str, deaths: Path, provider: FakeProvider, tmp_path: Path) -> Iterator[Processes]:
    env = environment(
        RABBITMQ,
        FAKE_PROVIDER=str(provider.outage.parent),
        EXTRA_QUEUE=queue,
        DEATHS=str(deaths),
    )
    arguments = worker_command(queue, "-c", "2", module="tests.faults.celery_worker")
    with running(*arguments, env=env, log=tmp_path / "worker.log") as started:
        yield started


def hand_over(rows: "QuerySet[ProviderEvent]", queue: str) -> int:
    lease = timedelta(minutes=1)
    return hand_over_due(rows, task="payments.handle_event", lease=lease, queue=queue)


def test_events_land_over_rabbitmq(provider: FakeProvider, queue: str, worker: Processes) -> None:
    intents = [make_payment() for _ in range(10)]
    deliveries = [Delivery(succeed(provider, intent)) for intent in intents]
    assert {deliver(delivery) for delivery in deliveries} == {200}
    rows = ProviderEvent.objects.filter(event_id__in=[one.event_id for one in deliveries])
    assert hand_over(rows, queue) == 10
    assert hand_over(rows, queue) == 0
    until(lambda: rows.filter(status=EventStatus.HANDLED).count() == 10, 60)
    assert len(credits_of(intents)) == 10


def test_what_a_killed_worker_did_not_acknowledge_comes_again_and_credits_once(
    provider: FakeProvider, queue: str, worker: Processes, deaths: Path
) -> None:
    intent = make_payment()
    delivery = Delivery(succeed(provider, intent))
    wish = deaths / "all"
    wish.touch()
    deliver(delivery)
    assert hand_over(ProviderEvent.objects.filter(pk=stored(delivery).pk), queue) == 1
    until(lambda: not wish.exists(), 60)
    until(lambda: worker.text().count("handle_event[") == 2, 60)
    assert (stored(delivery).status, stored(delivery).attempts) == (EventStatus.HANDLED, 1)
    assert len(credits_of([intent])) == 1


def test_a_queue_without_workers_is_not_made_longer_than_it_may_be(
    provider: FakeProvider, queue: str, settings: Any
) -> None:
    settings.RELAY_QUEUE_LIMIT = 3
    deliveries = [Delivery(succeed(provider, make_payment())) for _ in range(5)]
    for delivery in deliveries:
        deliver(delivery)
    rows = ProviderEvent.objects.filter(event_id__in=[one.event_id for one in deliveries])
    assert hand_over(rows, queue) == 3
    publisher.close()
    assert hand_over(rows, queue) == 0


def test_a_rabbitmq_that_is_not_there_is_given_up_in_time(settings: Any) -> None:
    point_at(settings, "amqp://guest:guest@127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        hand_over(ProviderEvent.objects.all(), "money")
    assert time.monotonic() - started < 3
    publisher.close()
