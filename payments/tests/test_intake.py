"""Webhooks in: what is signed is stored once before it is answered, and nothing else touches anything."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.test import Client

from fintech_core import signing
from payments.models import EventStatus, ProviderEvent
from payments.providers.base import PaymentState
from payments.providers.records import from_json, to_json
from payments.providers.registry import registered
from payments.services import events
from tests.faults.fake_provider import Delivery, FakeProvider
from tests.faults.payments import (
    ADDRESS,
    credits_of,
    deliver,
    make_payment,
    stored,
    succeed,
    told_of,
)

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[FakeProvider]:
    fake = FakeProvider(tmp_path)
    with registered(fake):
        yield fake


@pytest.fixture
def delivery(provider: FakeProvider) -> Delivery:
    return Delivery(succeed(provider, make_payment()))


def test_a_signed_event_is_stored_as_it_came_and_not_acted_on_yet(delivery: Delivery) -> None:
    answer = Client(HTTP_HOST="localhost").post(
        ADDRESS, delivery.body, content_type="text/strange", headers=delivery.headers
    )
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    event = stored(delivery)
    assert bytes(event.body) == delivery.body
    assert bytes(event.digest) == hashlib.sha256(delivery.body).digest()
    assert (event.status, event.attempts) == (EventStatus.PENDING, 0)


def test_whatever_a_provider_accepts_it_is_answered_in_json(delivery: Delivery) -> None:
    answer = Client(HTTP_HOST="localhost", HTTP_ACCEPT="text/plain").post(
        ADDRESS, delivery.body, content_type="application/json", headers=delivery.headers
    )
    assert (answer.status_code, answer.json()) == (200, {"received": True})


def test_an_event_of_before_is_answered_the_same_and_stored_once(delivery: Delivery) -> None:
    assert [deliver(delivery) for _ in range(3)] == [200, 200, 200]
    assert ProviderEvent.objects.filter(event_id=delivery.event_id).count() == 1


def test_the_cache_emptied_between_two_deliveries_changes_nothing(delivery: Delivery) -> None:
    deliver(delivery)
    cache.clear()
    assert deliver(delivery) == 200
    assert ProviderEvent.objects.filter(event_id=delivery.event_id).count() == 1


def test_the_same_event_20_times_at_once_is_one_credit_and_always_200(
    provider: FakeProvider,
) -> None:
    intent = make_payment()
    delivery = Delivery(succeed(provider, intent))
    start = threading.Barrier(20)

    def send(_: int) -> int:
        start.wait()
        try:
            status = deliver(delivery)
            events.handle_event(stored(delivery).pk)
        finally:
            connections.close_all()
        return status

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(send, range(20))) == {200}
    assert len(credits_of([intent])) == 1
    assert stored(delivery).status == EventStatus.HANDLED


def test_another_body_under_a_known_id_is_noted_and_the_first_stays(
    provider: FakeProvider, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(delivery)
    other = Delivery(told_of(make_payment(), PaymentState.SUCCEEDED), event_id=delivery.event_id)
    with caplog.at_level(logging.WARNING):
        assert deliver(other) == 200
    assert bytes(stored(delivery).body) == delivery.body
    told = [r.message for r in caplog.records if r.name.startswith("payments")]
    assert told == ["provider_event_differs"]


def _changed(delivery: Delivery) -> None:
    delivery.body += b" "


def _resigned_by_another(delivery: Delivery) -> None:
    another = Delivery(None, event_id=delivery.event_id, secret=signing.new_secret())
    delivery.headers["webhook-signature"] = another.headers["webhook-signature"]


FORGERIES: dict[str, Callable[[Delivery], object]] = {
    "changed body": _changed,
    "another secret": _resigned_by_another,
    "another id": lambda d: d.headers.update({"webhook-id": "evt_other"}),
    "another time": lambda d: d.headers.update({"webhook-timestamp": str(int(time.time()) - 1)}),
    "no signature": lambda d: d.headers.pop("webhook-signature"),
    "no time": lambda d: d.headers.pop("webhook-timestamp"),
    "no id": lambda d: d.headers.pop("webhook-id"),
    "empty signature": lambda d: d.headers.update({"webhook-signature": ""}),
    "old": lambda d: d.sign(time.time() - 301),
    "in the future": lambda d: d.sign(time.time() + 302),
    "not text": lambda d: d.headers.update({"webhook-signature": "v1,\udc80"}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_its_provider_did_not_sign_now_costs_no_statement(
    name: str, delivery: Delivery, statements: list[str]
) -> None:
    FORGERIES[name](delivery)
    del statements[:]
    answer = Client(HTTP_HOST="localhost").post(
        ADDRESS, delivery.body, content_type="application/json", headers=delivery.headers
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_signature")
    assert statements == []
    assert not ProviderEvent.objects.filter(event_id=delivery.event_id).exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"type": 1}', b"\xff"])
def test_what_its_provider_signed_and_nobody_can_read_is_told_apart(
    provider: FakeProvider, body: bytes, statements: list[str]
) -> None:
    delivery = Delivery(None)
    delivery.body = body
    delivery.sign()
    del statements[:]
    answer = Client(HTTP_HOST="localhost").post(
        ADDRESS, delivery.body, content_type="application/json", headers=delivery.headers
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "unreadable_event")
    assert statements == []


def test_almost_five_minutes_either_way_are_believed(delivery: Delivery) -> None:
    assert deliver(delivery.sign(time.time() - 295)) == 200
    assert deliver(delivery.sign(time.time() + 295)) == 200


def test_a_large_body_is_refused_before_its_signature_is_looked_at(provider: FakeProvider) -> None:
    delivery = Delivery(None)
    delivery.body += b" " * (64 * 1024)
    assert deliver(delivery.sign()) == 413
    fits = Delivery(None)
    fits.body += b" " * (64 * 1024 - len(fits.body))
    assert deliver(fits.sign()) == 200


@pytest.mark.parametrize("name", ["stripe", "nobody", "..", "fake%00"])
def test_a_provider_that_is_not_switched_on_is_not_found(
    name: str, delivery: Delivery, settings: Any
) -> None:
    settings.PAYMENT_PROVIDERS = ["simulator"]
    answer = Client(HTTP_HOST="localhost").post(
        f"/api/payments/webhooks/{name}/", delivery.body, content_type="application/json"
    )
    assert answer.status_code == 404


def test_only_a_post_is_taken(provider: FakeProvider) -> None:
    client = Client(HTTP_HOST="localhost")
    assert {client.get(ADDRESS).status_code, client.put(ADDRESS).status_code} == {405}


@pytest.mark.parametrize("event_id", ["x" * 256, "evt 1", "evt\u00e4"])
def test_an_event_without_a_usable_id_is_not_taken(provider: FakeProvider, event_id: str) -> None:
    class Odd(FakeProvider):
        def read_event(self, body: bytes, headers: Any) -> Any:
            told = super().read_event(body, headers)
            return type(told)(event_id, told.type, told.created_at, told.happened)

    with registered(Odd(provider.outage.parent)):
        assert deliver(Delivery(None)) == 400


def test_what_concerns_nothing_of_ours_is_kept_and_ignored(provider: FakeProvider) -> None:
    delivery = Delivery(None)
    assert deliver(delivery) == 200
    assert stored(delivery).status == EventStatus.IGNORED


def test_a_delivery_leaves_one_line_without_its_secrets(
    delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        deliver(delivery)
    [line] = [r for r in caplog.records if r.name.startswith("fintech_core")]
    assert line.message == "request"
    written = str(vars(line))
    assert delivery.headers["webhook-signature"] not in written
    assert delivery.event_id not in written


def test_nothing_is_published_by_a_request(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("published")

    monkeypatch.setattr("kombu.messaging.Producer.publish", refuse)
    assert deliver(delivery) == 200


def test_without_a_database_the_provider_is_asked_to_come_again(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("django.db.models.query.QuerySet.bulk_create", fail)
    assert deliver(delivery) == 503


def test_the_kept_record_is_what_was_told_without_secrets(provider: FakeProvider) -> None:
    intent = make_payment()
    told = told_of(intent, PaymentState.FAILED, failure_code="card\0declined")
    delivery = Delivery(
        told_of(intent, PaymentState.FAILED, failure_code="declined", client_secret="hush")
    )
    deliver(delivery)
    kept = stored(delivery).happened
    assert kept is not None
    assert "hush" not in str(kept)
    assert to_json(told)["failure_code"] == "carddeclined"
    assert from_json(kept) == told_of(intent, PaymentState.FAILED, failure_code="declined")


def test_a_payment_may_be_remembered_without_our_id(provider: FakeProvider) -> None:
    told = told_of(make_payment(), PaymentState.SUCCEEDED, intent_id=None)
    assert from_json(to_json(told)) == told
