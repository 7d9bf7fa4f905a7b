"""What providers tell: stored once, acted on until it is done, parked where it cannot be.

An event is told at least once, late and in any order. That nothing happens twice is kept by the objects
it is about (``applying``), under their own locks: acting on an event twice or at once does no harm.
"""

import hashlib
import logging
import random
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from events.services import record_audit
from fintech_core.exceptions import DomainError, NotFound
from payments.models import EventStatus, PaymentIntent, PaymentIssue, ProviderEvent
from payments.providers import base
from payments.providers.records import from_json, own_id, to_json
from payments.providers.registry import get_provider
from payments.services.applying import Applied, apply_payment, apply_payout, apply_refund
from payments.services.issues import close_issue, open_issue
from users.models import User

logger = logging.getLogger(__name__)

RETRY = "payments.retry_event"

# How long a worker has an event to itself: longer than one attempt takes.
HANDLING_LEASE = timedelta(seconds=60)
# After each attempt in vain, in seconds; after the last one the event is parked.
PAUSES = (5, 30, 120, 600, *(3_600,) * 4, *(10_800,) * 4)
# What nobody here knows, and names no id of ours, is believed to be somebody else's after so many.
ATTEMPTS_FOR_STRANGERS = 5


class EventNotParked(DomainError):
    """409: only an event that is parked is tried again by hand."""

    status = 409
    code = "invalid_state"
    title = "The event is not parked."


def receive_event(*, provider: str, told: base.ProviderEvent, body: bytes) -> bool:
    """Store an event whose signature is good; on disk when this returns. False where it was known.

    The first body of an event id stays; another one under the same id is noted in the log alone.
    """
    now = timezone.now()
    is_ours = told.happened is not None
    event = ProviderEvent(
        provider=provider,
        event_id=told.event_id,
        type=told.type.replace("\0", "")[:100],
        body=body,
        digest=hashlib.sha256(body).digest(),
        happened=to_json(told.happened) if told.happened is not None else None,
        status=EventStatus.PENDING if is_ours else EventStatus.IGNORED,
        next_attempt_at=now if is_ours else None,
        finished_at=None if is_ours else now,
        created_at=told.created_at,
        received_at=now,
    )
    with transaction.atomic(durable=True):
        ProviderEvent.objects.bulk_create([event], ignore_conflicts=True)
        stored = ProviderEvent.objects.values_list("pk", "digest").get(
            provider=provider, event_id=told.event_id
        )
    if stored[0] == event.pk:
        return True
    if bytes(stored[1]) != event.digest:
        logger.warning(
            "provider_event_differs", extra={"provider_event": str(stored[0]), "provider": provider}
        )
    return False


def handle_event(event_id: uuid.UUID) -> None:
    """Act on a stored event, or note when to try again; harmless when it is done already.

    Raises nothing but database errors that keep it from noting anything: then the event is due again
    when its lease ends.
    """
    event = _claim(event_id)
    if event is None:
        return
    if event.happened is None:
        _finish(event, EventStatus.IGNORED)
        return
    happened = from_json(event.happened)
    try:
        applied = _apply(event.provider, happened, fetched=False)
        if applied is Applied.DOUBT:
            current = _fetch(event.provider, happened)
            applied = _apply(event.provider, current, fetched=True)
    except Exception as error:  # Whatever it is, it is tried again, and then somebody looks.
        if not isinstance(error, DomainError | base.ProviderRefused):
            logger.exception("provider_event_failed", extra={"provider_event": str(event.pk)})
        _postpone(event, failure=_word_for(error))
        return
    if applied in {Applied.DONE, Applied.MISMATCH}:
        _finish(event, EventStatus.HANDLED)
    elif own_id(happened) is None and event.attempts >= ATTEMPTS_FOR_STRANGERS:
        is_of_ours = isinstance(happened, base.ProviderRefund) and _flag_refund(event, happened)
        _finish(event, EventStatus.HANDLED if is_of_ours else EventStatus.IGNORED)
    else:
        _postpone(event, failure=applied.name.lower())


def _claim(event_id: uuid.UUID) -> ProviderEvent | None:
    """The event, with one more attempt counted; None where there is nothing to do now.

    Counted before it is made: an event that kills its worker is parked in the end, too.
    """
    now = timezone.now()
    with transaction.atomic(durable=True):
        rows = ProviderEvent.objects.select_for_update(skip_locked=True, no_key=True)
        event = rows.defer("body").filter(pk=event_id, status=EventStatus.PENDING).first()
        if event is None or (event.paused_until is not None and event.paused_until > now):
            return None
        if event.attempts > len(PAUSES):
            _park(event, failure=event.failure or "worker_lost")
            return None
        event.attempts += 1
        event.next_attempt_at, event.paused_until = now + HANDLING_LEASE, None
        event.save(update_fields=["attempts", "next_attempt_at", "paused_until"])
    return event


def _apply(provider: str, told: base.ProviderObject, *, fetched: bool) -> Applied:
    if isinstance(told, base.ProviderPayment):
        return apply_payment(provider, told, fetched=fetched)
    if isinstance(told, base.ProviderRefund):
        return apply_refund(provider, told, fetched=fetched)
    return apply_payout(provider, told, fetched=fetched)


def _fetch(provider: str, told: base.ProviderObject) -> base.ProviderObject:
    """The object as its provider knows it now; asked outside of any transaction."""
    adapter = get_provider(provider)
    if isinstance(told, base.ProviderPayment):
        return adapter.fetch_payment(told.reference)
    if isinstance(told, base.ProviderRefund):
        return adapter.fetch_refund(told.reference)
    return adapter.fetch_payout(told.reference)


def _flag_refund(event: ProviderEvent, told: base.ProviderRefund) -> bool:
    """Flag a refund that nobody asked for here where it is of one of our payments; False where it is not.

    It was made by hand at the provider: the money is gone there, and its wallet has it still.
    """
    payments = PaymentIntent.objects.filter(provider=event.provider)
    intent = payments.filter(provider_reference=told.payment).first() if told.payment else None
    if intent is None:
        return False
    open_issue(
        kind="unknown_refund",
        provider=event.provider,
        subject_type="payment_intent",
        subject_id=intent.pk,
        reference=told.reference,
        facts={
            "told_amount": str(told.amount),
            "told_currency": told.amount.currency,
            "told_status": told.state.value,
        },
    )
    return True


def _word_for(error: Exception) -> str:
    code = getattr(error, "code", None)
    return (code if isinstance(code, str) else type(error).__name__)[:100]


def _finish(event: ProviderEvent, status: EventStatus) -> None:
    """Note that nothing is left to do. A second worker on the same event finds it so."""
    ProviderEvent.objects.filter(pk=event.pk, status=EventStatus.PENDING).update(
        status=status,
        next_attempt_at=None,
        paused_until=None,
        failure="",
        finished_at=timezone.now(),
    )


def _postpone(event: ProviderEvent, *, failure: str) -> None:
    """Note when to try again; after the last pause, park the event and ask for a person."""
    with transaction.atomic(durable=True):
        rows = ProviderEvent.objects.select_for_update(no_key=True).defer("body")
        # Another attempt that began since knows better.
        mine = rows.filter(pk=event.pk, status=EventStatus.PENDING, attempts=event.attempts).first()
        if mine is None:
            return
        if mine.attempts > len(PAUSES):
            _park(mine, failure=failure)
            return
        mine.failure = failure
        mine.paused_until = mine.next_attempt_at = _after_pause(mine.attempts)
        mine.save(update_fields=["failure", "paused_until", "next_attempt_at"])


def _after_pause(attempts: int) -> datetime:
    factor = random.uniform(0.8, 1.2)  # noqa: S311 - jitter  # nosec B311
    return timezone.now() + timedelta(seconds=PAUSES[attempts - 1] * factor)


def _park(event: ProviderEvent, *, failure: str) -> None:
    event.status, event.failure, event.finished_at = EventStatus.PARKED, failure, timezone.now()
    event.next_attempt_at = event.paused_until = None
    event.save(
        update_fields=["status", "failure", "finished_at", "next_attempt_at", "paused_until"]
    )
    open_issue(
        kind="event_parked",
        provider=event.provider,
        subject_type="provider_event",
        subject_id=event.pk,
        reference=event.event_id,
        facts={"type": event.type, "failure": failure, "attempts": event.attempts},
    )


def retry_event(*, event_id: uuid.UUID, acting_user: User, reason: str) -> ProviderEvent:
    """Have a parked event tried again from the first pause on; its issue is closed, all on record.

    Raises ``NotFound``, ``EventNotParked``, ``InvalidInput`` without a reason, and ``PermissionDenied``
    for who does not hold ``payments.retry_event``.
    """
    if not acting_user.has_perm(RETRY):
        raise PermissionDenied
    with transaction.atomic(durable=True):
        rows = ProviderEvent.objects.select_for_update(no_key=True).defer("body")
        event = rows.filter(pk=event_id).first()
        if event is None:
            raise NotFound
        if event.status != EventStatus.PARKED:
            raise EventNotParked
        issues = PaymentIssue.objects.select_for_update(no_key=True)
        for issue in issues.filter(kind="event_parked", subject_id=event.pk, resolved_at=None):
            close_issue(issue, acting_user=acting_user, resolution=reason)
        before = {"attempts": event.attempts, "failure": event.failure}
        event.status, event.attempts, event.finished_at = EventStatus.PENDING, 0, None
        event.next_attempt_at = timezone.now()
        event.save(update_fields=["status", "attempts", "finished_at", "next_attempt_at"])
        record_audit(
            action="provider_event.retried",
            subject_type="provider_event",
            subject_id=event.pk,
            actor_id=acting_user.pk,
            before=before,
            reason=reason,
        )
    return event


def prune_events() -> int:
    """Forget events that were handled or ignored so long ago; returns how many. Parked ones stay."""
    ended_before = timezone.now() - timedelta(days=settings.PROVIDER_EVENT_DAYS)
    old = ProviderEvent.objects.filter(
        status__in=[EventStatus.HANDLED, EventStatus.IGNORED], finished_at__lt=ended_before
    )
    pruned = 0
    # In pieces: no transaction is long, and what is left is pruned by the next run.
    for _ in range(1_000):
        piece = list(old.order_by("finished_at").values_list("pk", flat=True)[:1_000])
        if not piece:
            break
        pruned += ProviderEvent.objects.filter(pk__in=piece).delete()[0]
    return pruned
