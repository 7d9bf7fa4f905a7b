"""What the relay does each time stays small, fair and whole, whatever waits and whoever is in trouble."""

import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from events.publishing import BrokerUnavailable
from transactions import services as money
from transactions.tests.factories import instruct, make_payee, make_payer
from webhooks import feeds, services, tasks, telling
from webhooks.models import Delivery, Endpoint, WebhookEvent
from webhooks.tests.factories import (
    deliver_due,
    fan_out,
    make_due,
    make_endpoint,
    retried,
    tell,
)
from webhooks.tests.receivers import receiver

pytestmark = pytest.mark.usefixtures("committed")


class _Broker:
    """Takes what is published, until it is told to fail."""

    def __init__(self, *, takes: int = 1_000_000, room: dict[str, int] | None = None) -> None:
        self.published: list[tuple[str, uuid.UUID]] = []
        self._takes = takes
        self._room = room or {}

    def room_in(self, queue: str) -> int:
        return self._room.get(queue, 1_000)

    def publish(self, task: str, row_id: uuid.UUID, *, queue: str) -> None:
        assert task == "webhooks.deliver"
        if len(self.published) >= self._takes:
            raise BrokerUnavailable
        self.published.append((queue, row_id))


def _broker(monkeypatch: pytest.MonkeyPatch, **options: Any) -> _Broker:
    made = _Broker(**options)
    monkeypatch.setattr(feeds, "publisher", made)
    return made


def _deliveries(*endpoints: Endpoint) -> set[uuid.UUID]:
    return set(Delivery.objects.filter(endpoint__in=endpoints).values_list("pk", flat=True))


def _queue_of(broker: _Broker, endpoint: Endpoint) -> set[str]:
    mine = _deliveries(endpoint)
    return {queue for queue, pk in broker.published if pk in mine}


def test_receivers_in_trouble_have_a_queue_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fine, failing, slow = (make_endpoint(make_payee()) for _ in range(3))
    Endpoint.objects.filter(pk=failing.pk).update(failing_since=timezone.now(), failures=1)
    Endpoint.objects.filter(pk=slow.pk).update(is_slow=True, has_succeeded=True)
    for endpoint in (fine, failing, slow):
        assert endpoint.owner is not None
        tell(endpoint.owner)
    fan_out()
    broker = _broker(monkeypatch)
    feeds.hand_out_deliveries()
    assert _queue_of(broker, fine) == {"webhooks"}
    assert _queue_of(broker, failing) == {"webhooks_slow"}
    assert _queue_of(broker, slow) == {"webhooks_slow"}


def test_a_full_queue_of_troubled_receivers_stops_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fine, failing = (make_endpoint(make_payee()) for _ in range(2))
    Endpoint.objects.filter(pk=failing.pk).update(failing_since=timezone.now(), failures=1)
    for endpoint in (fine, failing):
        assert endpoint.owner is not None
        tell(endpoint.owner)
    fan_out()
    broker = _broker(monkeypatch, room={"webhooks_slow": 0})
    feeds.hand_out_deliveries()
    assert _queue_of(broker, fine) == {"webhooks"}
    assert _queue_of(broker, failing) == set()
    broker = _broker(monkeypatch)
    feeds.hand_out_deliveries()
    assert _queue_of(broker, failing) == {"webhooks_slow"}


def test_what_the_broker_does_not_take_is_due_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = [make_endpoint(make_payee()) for _ in range(3)]
    for endpoint in endpoints:
        assert endpoint.owner is not None
        tell(endpoint.owner)
    fan_out()
    mine = _deliveries(*endpoints)
    _broker(monkeypatch, takes=0)
    with pytest.raises(BrokerUnavailable):
        feeds.hand_out_deliveries()
    broker = _broker(monkeypatch)
    feeds.hand_out_deliveries()
    assert {pk for _, pk in broker.published} >= mine


def test_an_endpoint_has_one_delivery_at_once_until_it_answers_well_and_after_it_fails() -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        for _ in range(20):
            tell(owner)
        fan_out()
        assert deliver_due(endpoint) == 1
        assert deliver_due(endpoint) == 4
        site.answers = [(500, {})]
        assert deliver_due(endpoint) == 4
        # The last of these four was good again.
        assert deliver_due(endpoint) == 4
        site.answers = [(500, {})] * 4
        assert deliver_due(endpoint) == 4
        make_due(endpoint)
        assert deliver_due(endpoint) == 1


def test_a_worker_goes_on_with_what_waits_until_the_receiver_fails() -> None:
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        for _ in range(6):
            tell(owner)
        fan_out()
        site.answers = [(200, {}), (200, {}), (500, {})]
        [handed] = [h for h in services.hand_out() if h.delivery_id in _deliveries(endpoint)]
        tasks.deliver(str(handed.delivery_id))
        assert len(site.received) == 3
        assert deliver_due(endpoint) == 0
        make_due(endpoint)
        [handed] = [h for h in services.hand_out() if h.delivery_id in _deliveries(endpoint)]
        tasks.deliver(str(handed.delivery_id))
    delivered = Delivery.objects.filter(endpoint=endpoint, status="delivered")
    assert delivered.count() == 6
    assert len(set(site.ids())) == 6


def test_no_look_at_an_endpoint_is_due_while_workers_go_on_with_what_waits(
    settings: Settings,
) -> None:
    settings.WEBHOOK_AT_ONCE = 1
    owner = make_payee()
    due: list[bool] = []

    def look() -> None:
        try:
            due.append(_is_due(endpoint))
        finally:
            connections.close_all()

    with receiver(on_request=look) as site:
        endpoint = make_endpoint(owner, site)
        Endpoint.objects.filter(pk=endpoint.pk).update(has_succeeded=True)
        for _ in range(3):
            tell(owner)
        fan_out()
        [handed] = [h for h in services.hand_out() if h.delivery_id in _deliveries(endpoint)]
        tasks.deliver(str(handed.delivery_id))
    assert due == [False, False, False]
    assert _is_due(endpoint)


def _is_due(endpoint: Endpoint) -> bool:
    return Endpoint.objects.filter(pk=endpoint.pk, due_at__lte=Now()).exists()


def test_a_turn_of_one_receiver_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TURN_SECONDS", 0)
    owner = make_payee()
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        for _ in range(3):
            tell(owner)
        fan_out()
        [handed] = [h for h in services.hand_out() if h.delivery_id in _deliveries(endpoint)]
        tasks.deliver(str(handed.delivery_id))
        assert len(site.received) == 1


def test_a_receiver_that_fails_is_left_alone_for_a_while() -> None:
    owner = make_payee()
    with receiver(answers=[(500, {})] * 50) as site:
        endpoint = make_endpoint(owner, site)
        for _ in range(5):
            tell(owner)
        fan_out()
        assert deliver_due(endpoint) == 1
        assert [deliver_due(endpoint) for _ in range(3)] == [0, 0, 0]
        for _ in range(9):
            retried(endpoint)
        endpoint.refresh_from_db()
        assert endpoint.resume_at is not None
        assert timedelta(seconds=50) < endpoint.resume_at - timezone.now() <= timedelta(seconds=60)
        tell(owner)
        fan_out()
        assert deliver_due(endpoint) == 0


def test_a_slow_receiver_goes_to_the_slow_queue_and_comes_back_once_it_is_quick(
    settings: Settings,
) -> None:
    settings.WEBHOOK_SLOW_ANSWER = timedelta(milliseconds=100)
    owner = make_payee()
    with receiver(delay=0.2) as site:
        endpoint = make_endpoint(owner, site)
        for _ in range(2):
            tell(owner)
        fan_out()
        deliver_due(endpoint)
        endpoint.refresh_from_db()
        assert endpoint.is_slow
        site.delay = 0
        retried(endpoint)
        endpoint.refresh_from_db()
        assert not endpoint.is_slow


def test_one_that_hangs_has_less_time_among_the_quick_than_among_the_slow(
    settings: Settings,
) -> None:
    settings.WEBHOOK_QUICK_SECONDS, settings.WEBHOOK_SECONDS = 0.2, 5
    owner = make_payee()
    with receiver(delay=0.5) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        fan_out()
        deliver_due(endpoint)
        assert Delivery.objects.get(endpoint=endpoint).status == "pending"
        retried(endpoint)
        assert Delivery.objects.get(endpoint=endpoint).status == "delivered"


def test_500_announcements_are_told_in_a_moment() -> None:
    payer, payee = make_payer("500.00"), make_payee()
    make_endpoint(payer)
    make_endpoint(payee)
    fan_out()
    ids = [money.transfer(instruct(payer, payee, "0.10")).transaction.id for _ in range(500)]
    begun = time.monotonic()
    assert telling.tell_endpoints(500) == 500
    took = time.monotonic() - begun
    assert Delivery.objects.filter(event__announcement_id__in=ids).count() == 1_000
    assert took < 10


def test_a_dead_receivers_backlog_takes_no_time_from_the_others() -> None:
    owner, other = make_payee(), make_payee()
    dead, fine = make_endpoint(owner), make_endpoint(other)
    tell(owner)
    tell(other)
    fan_out()
    event = WebhookEvent.objects.get(deliveries__endpoint=dead)
    now = timezone.now()
    backlog = [
        WebhookEvent(
            announcement_id=uuid.uuid4(),
            owner_id=owner.pk,
            type=event.type,
            subject_id=event.subject_id,
            sequence=1,
            body="{}",
            occurred_at=now,
            created_at=now,
        )
        for _ in range(20_000)
    ]
    WebhookEvent.objects.bulk_create(backlog, batch_size=5_000)
    Delivery.objects.bulk_create(
        (
            Delivery(
                event=each,
                endpoint=dead,
                owner_id=owner.pk,
                event_type=event.type,
                next_attempt_at=now,
                created_at=now,
            )
            for each in backlog
        ),
        batch_size=5_000,
    )
    services.hand_out()  # Prepares the statement.
    make_due_only(dead)
    make_due(fine)
    begun = time.monotonic()
    handed = {each.delivery_id for each in services.hand_out()}
    took = time.monotonic() - begun
    assert _deliveries(fine) <= handed
    assert len(handed & _deliveries(dead)) <= 1
    assert took < 0.5
    services.delete_endpoint(acting_user=owner, endpoint_id=dead.pk)
    left = Delivery.objects.filter(endpoint=dead, status="pending").count()
    assert services.park_leftovers() >= left
    assert not Delivery.objects.filter(endpoint=dead, status="pending").exists()


def make_due_only(endpoint: Endpoint) -> None:
    """Let the next look at it happen now."""
    Endpoint.objects.filter(pk=endpoint.pk).update(due_at=timezone.now() - timedelta(seconds=1))
