"""However many relays and workers are at it: each event is kept once, each delivery is one worker's."""

import threading
from collections import Counter

import pytest
from django.db import connections, transaction
from pytest_django import Settings

from transactions import services as money
from transactions.tests.factories import instruct, make_payee, make_payer
from users.tests.factories import at_once
from webhooks import services, telling
from webhooks.models import Delivery, Endpoint, WebhookEvent
from webhooks.tests.factories import LOOPBACK, fan_out, make_due, make_endpoint, tell

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def _loopback(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = LOOPBACK


def _busy_endpoint(deliveries: int) -> Endpoint:
    """An endpoint that has answered well before, with so much to be delivered."""
    owner = make_payee()
    endpoint = make_endpoint(owner)
    for _ in range(deliveries):
        tell(owner)
    fan_out()
    Endpoint.objects.filter(pk=endpoint.pk).update(has_succeeded=True)
    return endpoint


def test_several_relays_keep_each_announcement_once() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    make_endpoint(payee)
    ids = [money.transfer(instruct(payer, payee, "0.10")).transaction.id for _ in range(40)]
    at_once(4, lambda _: [telling.tell_endpoints(7) for _ in range(20)])
    fan_out()
    kept = WebhookEvent.objects.filter(owner_id=payee.pk)
    assert sorted(kept.values_list("announcement_id", flat=True)) == sorted(ids)
    assert Delivery.objects.filter(event__in=kept).count() == 40


def test_several_relays_hand_a_delivery_to_one_worker(settings: Settings) -> None:
    settings.WEBHOOK_AT_ONCE = 30
    endpoints = [_busy_endpoint(20) for _ in range(3)]
    mine = set(Delivery.objects.filter(endpoint__in=endpoints).values_list("pk", flat=True))
    rounds = at_once(6, lambda _: [h.delivery_id for _ in range(5) for h in services.hand_out()])
    handed = Counter(pk for ids in rounds for pk in ids if pk in mine)
    assert handed == Counter(mine)


def test_one_receiver_never_has_more_at_once_than_it_may() -> None:
    endpoint = _busy_endpoint(20)
    mine = set(Delivery.objects.filter(endpoint=endpoint).values_list("pk", flat=True))

    def hand_out(_: int) -> int:
        Endpoint.objects.filter(pk=endpoint.pk).update(due_at=endpoint.created_at)
        return sum(h.delivery_id in mine for h in services.hand_out())

    assert sum(at_once(8, hand_out)) == 4


def test_of_many_workers_with_one_message_one_sends() -> None:
    """Each of them has looked at the row before the first one's claim commits."""
    endpoint = _busy_endpoint(1)
    services.hand_out()
    delivery_id = Delivery.objects.get(endpoint=endpoint).pk
    for _ in range(5):
        claims = at_once(8, lambda _: services.claim_delivery(delivery_id))
        assert sum(claim is not None for claim in claims) == 1
        make_due(endpoint)
        services.hand_out()


def test_a_claim_that_waits_for_another_one_finds_it() -> None:
    endpoint = _busy_endpoint(1)
    services.hand_out()
    delivery_id = Delivery.objects.get(endpoint=endpoint).pk
    results: list[object] = []

    def claim() -> None:
        try:
            results.append(services.claim_delivery(delivery_id))
        finally:
            connections.close_all()

    with transaction.atomic():
        assert services.claim_delivery(delivery_id) is not None
        waiting = threading.Thread(target=claim)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(10)
    assert results == [None]


def test_an_event_and_a_disabling_at_once_leave_nothing_pending() -> None:
    for _ in range(5):
        owner = make_payee()
        endpoint = make_endpoint(owner)
        tell(owner)

        def act(index: int, *, owner: object = owner, endpoint: Endpoint = endpoint) -> None:
            if index:
                fan_out()
            else:
                services.update_endpoint(
                    acting_user=owner,  # type: ignore[arg-type]
                    endpoint_id=endpoint.pk,
                    changes={"status": "disabled"},
                )

        at_once(2, act)
        assert not Delivery.objects.filter(endpoint=endpoint, status="pending").exists()
