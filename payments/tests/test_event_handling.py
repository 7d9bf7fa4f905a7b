"""What becomes of a stored event: done, in doubt by asking its provider, or parked where it is stuck."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from events.models import AuditRecord
from fintech_core.exceptions import PostingsHalted
from payments.event_tasks import handle_event_task, prune_events_task
from payments.models import EventStatus, PaymentIntent, PaymentIssue, ProviderEvent
from payments.providers.base import PaymentState, ProviderUnavailable
from payments.providers.registry import registered
from payments.services import events
from payments.services.events import PAUSES, EventNotParked, retry_event
from payments.services.issues import open_issue
from tests.faults.fake_provider import Delivery, FakeProvider
from tests.faults.payments import credits_of, deliver, make_payment, stored, succeed, told_of
from transactions.tests.factories import balance_of
from users.models import User
from users.tests.factories import make_staff, make_user

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[FakeProvider]:
    fake = FakeProvider(tmp_path)
    with registered(fake):
        yield fake


def handle(delivery: Delivery) -> ProviderEvent:
    """Deliver it, and let a worker have it once."""
    assert deliver(delivery) == 200
    handle_event_task(str(stored(delivery).pk))
    return stored(delivery)


def again(event: ProviderEvent) -> ProviderEvent:
    """Let a worker have it when its pause is over."""
    now = timezone.now()
    ProviderEvent.objects.filter(pk=event.pk).update(paused_until=now, next_attempt_at=now)
    handle_event_task(str(event.pk))
    event.refresh_from_db()
    return event


def test_an_event_of_a_payment_credits_its_wallet_once(provider: FakeProvider) -> None:
    intent = make_payment(amount="12.50")
    delivery = Delivery(succeed(provider, intent))
    event = handle(delivery)
    assert (event.status, event.attempts, event.failure) == (EventStatus.HANDLED, 1, "")
    handle_event_task(str(event.pk))
    handle(Delivery(succeed(provider, intent)))
    assert balance_of(intent.user) == "12.50"
    assert stored(delivery).attempts == 1


def test_one_event_in_many_workers_at_once_is_one_credit(provider: FakeProvider) -> None:
    intent = make_payment()
    delivery = Delivery(succeed(provider, intent))
    deliver(delivery)
    event_id = str(stored(delivery).pk)
    start = threading.Barrier(8)

    def work(_: int) -> None:
        start.wait()
        try:
            handle_event_task(event_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(credits_of([intent])) == 1
    assert stored(delivery).status == EventStatus.HANDLED


STORIES = {
    # What the provider tells, in its own order; the last is how it is.
    "paid with the second card": ("processing", "failed", "processing", "succeeded"),
    "paid": ("requires_confirmation", "processing", "failed", "succeeded"),
    "canceled": ("requires_confirmation", "processing", "failed", "canceled"),
    "failed": ("requires_confirmation", "processing", "processing", "failed"),
}


@pytest.mark.parametrize("story", STORIES)
def test_all_24_orders_of_four_events_end_the_same(story: str, provider: FakeProvider) -> None:
    states = [PaymentState(word) for word in STORIES[story]]
    paid = states[-1] is PaymentState.SUCCEEDED
    ends = set()
    for order in permutations(range(4)):
        intent = make_payment(amount="3.00")
        told = [told_of(intent, state) for state in states]
        provider.tell(told[-1])
        for position in order:
            event = handle(Delivery(told[position]))
            assert event.status == EventStatus.HANDLED
        intent.refresh_from_db()
        ends.add((intent.status, balance_of(intent.user), len(credits_of([intent]))))
    assert ends == {(states[-1].value, "3.00" if paid else "0.00", int(paid))}


def test_in_doubt_the_provider_is_asked_and_no_transaction_waits_for_it(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = make_payment()
    handle(Delivery(told_of(intent, PaymentState.FAILED)))
    asked = []
    original = provider.fetch_payment

    def fetch(reference: str) -> Any:
        asked.append(transaction.get_connection().in_atomic_block)
        return original(reference)

    monkeypatch.setattr(provider, "fetch_payment", fetch)
    assert handle(Delivery(succeed(provider, intent))).status == EventStatus.HANDLED
    assert asked == [False]
    assert len(credits_of([intent])) == 1


@pytest.mark.parametrize("told", [{"amount": "9.99"}, {"currency": "EUR"}])
def test_another_amount_or_currency_is_flagged_and_not_credited(
    told: dict[str, str], provider: FakeProvider
) -> None:
    intent = make_payment(amount="10.00")
    claimed = type(intent.money).parse(told.get("amount", "10.00"), told.get("currency", "USD"))
    event = handle(Delivery(told_of(intent, PaymentState.SUCCEEDED, amount=claimed)))
    assert event.status == EventStatus.HANDLED
    assert credits_of([intent]) == []
    issue = PaymentIssue.objects.get(subject_id=intent.pk)
    assert (issue.kind, issue.resolved_at) == ("amount_mismatch", None)


def test_a_provider_that_is_down_is_asked_again_after_growing_pauses(
    provider: FakeProvider,
) -> None:
    intent = make_payment()
    handle(Delivery(told_of(intent, PaymentState.FAILED)))
    delivery = Delivery(succeed(provider, intent))
    provider.outage.touch()
    event = handle(delivery)
    pauses = []
    for _ in range(4):
        assert (event.status, event.failure) == (EventStatus.PENDING, "provider_unavailable")
        assert event.paused_until is not None
        pauses.append((event.paused_until - timezone.now()).total_seconds())
        event = again(event)
    assert all(0.75 * p < seen < 1.25 * p for p, seen in zip(PAUSES, pauses, strict=False))
    assert credits_of([intent]) == []
    provider.outage.unlink()
    assert again(event).status == EventStatus.HANDLED
    assert len(credits_of([intent])) == 1


def test_an_event_that_pauses_is_left_alone_by_a_late_message(provider: FakeProvider) -> None:
    intent = make_payment()
    handle(Delivery(told_of(intent, PaymentState.FAILED)))
    provider.outage.touch()
    event = handle(Delivery(succeed(provider, intent)))
    handle_event_task(str(event.pk))
    event.refresh_from_db()
    assert event.attempts == 1


def parked(provider: FakeProvider) -> tuple[PaymentIntent, ProviderEvent]:
    """An event whose provider was down for too long."""
    intent = make_payment()
    handle(Delivery(told_of(intent, PaymentState.FAILED)))
    provider.outage.touch()
    event = handle(Delivery(succeed(provider, intent)))
    for _ in PAUSES:
        event = again(event)
    return intent, event


def test_an_event_that_stays_stuck_is_parked_and_shown(provider: FakeProvider) -> None:
    _, event = parked(provider)
    assert (event.status, event.attempts) == (EventStatus.PARKED, len(PAUSES) + 1)
    assert event.next_attempt_at is None
    issue = PaymentIssue.objects.get(kind="event_parked", subject_id=event.pk)
    assert issue.facts["failure"] == "provider_unavailable"


def test_an_operator_has_a_parked_event_tried_again_on_record(provider: FakeProvider) -> None:
    intent, event = parked(provider)
    provider.outage.unlink()
    operator = make_staff("payments.retry_event")
    retry_event(event_id=event.pk, acting_user=operator, reason="The provider is back.")
    event.refresh_from_db()
    assert (event.status, event.attempts) == (EventStatus.PENDING, 0)
    handle_event_task(str(event.pk))
    assert len(credits_of([intent])) == 1
    record = AuditRecord.objects.get(subject_type="provider_event", subject_id=event.pk)
    assert (record.actor_id, record.reason) == (operator.pk, "The provider is back.")
    issue = PaymentIssue.objects.get(kind="event_parked", subject_id=event.pk)
    assert issue.resolved_by_id == operator.pk
    with pytest.raises(EventNotParked):
        retry_event(event_id=event.pk, acting_user=operator, reason="Again.")


def test_only_who_may_has_a_parked_event_tried_again(provider: FakeProvider) -> None:
    _, event = parked(provider)
    with pytest.raises(PermissionDenied):
        retry_event(event_id=event.pk, acting_user=make_user(), reason="Please.")


def test_an_event_that_kills_its_worker_each_time_is_parked(provider: FakeProvider) -> None:
    delivery = Delivery(succeed(provider, make_payment()))
    deliver(delivery)
    ProviderEvent.objects.filter(pk=stored(delivery).pk).update(attempts=len(PAUSES) + 1)
    handle_event_task(str(stored(delivery).pk))
    event = stored(delivery)
    assert (event.status, event.failure) == (EventStatus.PARKED, "worker_lost")


def test_an_event_that_comes_before_its_payment_waits_for_it(provider: FakeProvider) -> None:
    intent = make_payment()
    unknown = told_of(intent, PaymentState.SUCCEEDED, reference="pay_x", intent_id=uuid.uuid4())
    event = handle(Delivery(unknown))
    assert (event.status, event.failure) == (EventStatus.PENDING, "unknown")
    for _ in PAUSES:
        event = again(event)
    assert event.status == EventStatus.PARKED


def test_what_was_not_made_here_is_ignored_in_the_end(provider: FakeProvider) -> None:
    intent = make_payment()
    stranger = told_of(intent, PaymentState.SUCCEEDED, reference="pay_y", intent_id=None)
    event = handle(Delivery(stranger))
    for _ in range(4):
        assert event.status == EventStatus.PENDING
        event = again(event)
    assert event.status == EventStatus.IGNORED
    assert not PaymentIssue.objects.filter(subject_id=event.pk).exists()


@pytest.mark.parametrize("error", [PostingsHalted(), ProviderUnavailable(), ValueError("a bug")])
def test_whatever_goes_wrong_it_is_tried_again(
    error: Exception, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = make_payment()
    delivery = Delivery(succeed(provider, intent))

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(events, "apply_payment", fail)
        event = handle(delivery)
    assert event.status == EventStatus.PENDING
    assert again(event).status == EventStatus.HANDLED
    assert len(credits_of([intent])) == 1


def test_what_is_done_with_is_forgotten_in_time_and_a_parked_event_never(
    provider: FakeProvider, settings: Any
) -> None:
    done, _ = handle(Delivery(succeed(provider, make_payment()))), handle(Delivery(None))
    fresh = handle(Delivery(succeed(provider, make_payment())))
    _, stuck = parked(provider)
    long_ago = timezone.now() - timedelta(days=settings.PROVIDER_EVENT_DAYS, seconds=1)
    old = ProviderEvent.objects.filter(pk__in=[done.pk, stuck.pk])
    old.update(finished_at=long_ago)
    prune_events_task()
    left = ProviderEvent.objects.filter(pk__in=[done.pk, fresh.pk, stuck.pk])
    assert set(left.values_list("pk", flat=True)) == {fresh.pk, stuck.pk}


def test_a_forgotten_event_that_comes_again_credits_nobody(provider: FakeProvider) -> None:
    intent = make_payment()
    delivery = Delivery(succeed(provider, intent))
    handle(delivery).delete()
    assert handle(delivery.sign()).status == EventStatus.HANDLED
    assert len(credits_of([intent])) == 1


def test_postgresql_refuses_a_second_row_and_a_pending_one_that_is_never_due(
    provider: FakeProvider,
) -> None:
    event = handle(Delivery(None))
    copy = ProviderEvent.objects.get(pk=event.pk)
    copy.pk = uuid.uuid4()
    with pytest.raises(IntegrityError, match="provider_event_is_stored_once"):
        copy.save(force_insert=True)
    with pytest.raises(IntegrityError, match="pending_provider_event_has_a_next_attempt"):
        ProviderEvent.objects.filter(pk=event.pk).update(status=EventStatus.PENDING)


def test_operators_see_both_act_on_both_and_see_no_body(provider: FakeProvider) -> None:
    _, event = parked(provider)
    issue = PaymentIssue.objects.get(kind="event_parked", subject_id=event.pk)
    client = Client(HTTP_HOST="localhost")
    client.force_login(User.objects.create_superuser(f"{uuid.uuid4().hex}@example.com"))
    for page, row in (("providerevent", event), ("paymentissue", issue)):
        assert client.get(reverse(f"admin:payments_{page}_changelist")).status_code == 200
        shown = client.get(reverse(f"admin:payments_{page}_change", args=[row.pk]))
        assert shown.status_code == 200
        assert b"created_at&quot;: &quot;" not in shown.content
    retry = reverse("admin:payments_providerevent_retry", args=[event.pk])
    client.post(retry, {"_form_submitted": "on", "reason": "The provider is back."})
    event.refresh_from_db()
    issue.refresh_from_db()
    assert (event.status, issue.resolution) == (EventStatus.PENDING, "The provider is back.")
    open_issue(kind="amount_mismatch", provider="fake", subject_id=event.pk)
    other = PaymentIssue.objects.get(kind="amount_mismatch", subject_id=event.pk)
    resolve = reverse("admin:payments_paymentissue_resolve", args=[other.pk])
    client.post(resolve, {"_form_submitted": "on", "reason": "Paid by hand."})
    other.refresh_from_db()
    assert other.resolution == "Paid by hand."
