"""Trying a delivery: claimed before the request, recorded after it; no transaction is open in between."""

import datetime
import random
import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from fintech_core.fields import uuid7
from webhooks import clock
from webhooks.locks import lock_delivery, lock_endpoint
from webhooks.models import (
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    DisabledBecause,
    Endpoint,
    EndpointStatus,
)
from webhooks.outgoing import Answer
from webhooks.services.endpoints import sealed_secrets_of
from webhooks.services.parking import disable

# How long after its time is up a try may still be recorded before another one is made.
_GRACE = datetime.timedelta(seconds=20)
# The longest pause between tries of different deliveries to a receiver that fails.
_LONGEST_PAUSE = datetime.timedelta(seconds=60)
_GONE = 410


@dataclass(frozen=True, slots=True)
class Claimed:
    """A try that is to be made now: what is sent where, within how many seconds."""

    delivery_id: uuid.UUID
    endpoint_id: uuid.UUID
    claim: uuid.UUID
    event_id: uuid.UUID
    url: str
    body: bytes
    sealed_secrets: list[str]
    seconds: float


def claim_delivery(delivery_id: uuid.UUID) -> Claimed | None:
    """Take a delivery that was handed out, for one try; None where another worker has it, or it is not to
    be sent any more. Whoever claims it tells what came of it, or it is handed out again later."""
    now = clock.now()
    claim, until = uuid7(), _lease_from(now)
    # Of this row alone: of two who claim it at once, the second looks at it again after the first.
    handed = Delivery.objects.filter(
        pk=delivery_id,
        status=DeliveryStatus.PENDING,
        handed_until__gt=Now(),
        claim__isnull=True,
    )
    if not handed.update(claim=claim, handed_until=until, next_attempt_at=until):
        return None
    delivery = Delivery.objects.select_related("event", "endpoint").get(pk=delivery_id)
    endpoint = delivery.endpoint
    if endpoint.status != EndpointStatus.ENABLED:
        return None  # It is about to be parked.
    return _claimed(delivery, endpoint, claim, now)


def record_attempt(claimed: Claimed, answer: Answer, *, go_on: bool = False) -> Claimed | None:
    """Write down what came of the try, and what follows: delivered, again later, or dead.

    A 410 disables the endpoint, and so does failing for days. A try that ended after its lease changes
    nothing more: another one has begun, or somebody parked the delivery.

    With ``go_on``, where the receiver answered well and quickly, its next due delivery is claimed at once
    and returned: so many that wait need no look of the relay each.
    """
    with transaction.atomic(durable=True):
        endpoint = lock_endpoint(claimed.endpoint_id)
        delivery = lock_delivery(claimed.delivery_id)
        if endpoint is None or delivery is None:
            return None  # Too old to be kept.
        DeliveryAttempt.objects.create(
            delivery=delivery,
            status_code=answer.status,
            error=answer.error,
            started_at=answer.started_at,
            duration_ms=round(answer.duration.total_seconds() * 1000),
        )
        if delivery.claim != claimed.claim:
            return None
        now = clock.now()
        delivery.handed_until = delivery.claim = None
        if answer.is_good:
            delivery.status = DeliveryStatus.DELIVERED
            delivery.next_attempt_at = None
            delivery.delivered_at = now
        else:
            _put_off(delivery, answer, now)
        delivery.save(
            update_fields=[
                "status",
                "tries",
                "next_attempt_at",
                "handed_until",
                "claim",
                "delivered_at",
            ]
        )
        was_well = _is_well(endpoint)
        _learn(endpoint, answer, now)
        following = _claim_next(endpoint, now) if go_on and _is_well(endpoint) else None
        if following is None or not was_well:
            # Else nothing was learnt, and no place is free that a look could fill.
            _keep_learnt(endpoint, answer, now)
        return following


def _claim_next(endpoint: Endpoint, now: datetime.datetime) -> Claimed | None:
    """The oldest due delivery of a locked endpoint, in the place of one that has just ended."""
    if endpoint.status != EndpointStatus.ENABLED:
        return None
    due = Delivery.objects.filter(
        endpoint=endpoint, status=DeliveryStatus.PENDING, next_attempt_at__lte=Now()
    )
    free = due.select_for_update(of=("self",), no_key=True, skip_locked=True)
    delivery = free.select_related("event").order_by("next_attempt_at", "pk").first()
    if delivery is None:
        return None
    delivery.claim = uuid7()
    delivery.handed_until = delivery.next_attempt_at = _lease_from(now)
    delivery.save(update_fields=["claim", "handed_until", "next_attempt_at"])
    return _claimed(delivery, endpoint, delivery.claim, now)


def _claimed(
    delivery: Delivery, endpoint: Endpoint, claim: uuid.UUID, now: datetime.datetime
) -> Claimed:
    return Claimed(
        delivery_id=delivery.pk,
        endpoint_id=endpoint.pk,
        claim=claim,
        event_id=delivery.event_id,
        url=endpoint.url,
        body=delivery.event.body.encode(),
        sealed_secrets=sealed_secrets_of(endpoint, now),
        seconds=_seconds_for(endpoint),
    )


def _lease_from(now: datetime.datetime) -> datetime.datetime:
    return now + datetime.timedelta(seconds=settings.WEBHOOK_SECONDS) + _GRACE


def _put_off(delivery: Delivery, answer: Answer, now: datetime.datetime) -> None:
    """Again after the next pause; after the last one never."""
    pauses = settings.WEBHOOK_RETRY_PAUSES
    if delivery.tries >= len(pauses):
        delivery.status, delivery.next_attempt_at = DeliveryStatus.DEAD, None
        return
    jitter = random.uniform(0.9, 1.1)  # noqa: S311  # nosec B311
    pause = datetime.timedelta(seconds=pauses[delivery.tries] * jitter)
    delivery.tries += 1
    delivery.next_attempt_at = now + max(pause, _patience(answer))


def _is_well(endpoint: Endpoint) -> bool:
    """Its last answer was good and quick."""
    return endpoint.has_succeeded and endpoint.failing_since is None and not endpoint.is_slow


def _learn(endpoint: Endpoint, answer: Answer, now: datetime.datetime) -> None:
    """How the endpoint is doing after this answer, and when the next look at it is due.

    While it fails it gets one try at a time, with a pause after each that grows with every failure.
    """
    endpoint.is_slow = answer.duration > settings.WEBHOOK_SLOW_ANSWER
    endpoint.resume_at = None
    if answer.is_good:
        endpoint.failing_since, endpoint.failures, endpoint.has_succeeded = None, 0, True
    else:
        pause = min(_LONGEST_PAUSE, datetime.timedelta(seconds=2 ** min(endpoint.failures, 7) / 2))
        endpoint.failing_since = endpoint.failing_since or now
        endpoint.failures += 1
        endpoint.resume_at = now + max(pause, _patience(answer))
    endpoint.due_at = endpoint.resume_at or now


def _keep_learnt(endpoint: Endpoint, answer: Answer, now: datetime.datetime) -> None:
    """Write it down; one that is gone, or has failed for too long, is disabled."""
    endpoint.save(
        update_fields=[
            "is_slow",
            "resume_at",
            "failing_since",
            "failures",
            "has_succeeded",
            "due_at",
        ]
    )
    if endpoint.status != EndpointStatus.ENABLED or endpoint.failing_since is None:
        return
    if answer.status == _GONE:
        disable(endpoint, DisabledBecause.GONE)
    elif now - endpoint.failing_since > settings.WEBHOOK_DISABLE_AFTER:
        disable(endpoint, DisabledBecause.FAILING)


def _patience(answer: Answer) -> datetime.timedelta:
    """What the receiver asked for, within reason."""
    return min(answer.retry_after or datetime.timedelta(0), settings.WEBHOOK_LONGEST_WAIT)


def _seconds_for(endpoint: Endpoint) -> float:
    """Less time among those who answer quickly: one that hangs there is served elsewhere from then on."""
    in_trouble = endpoint.failing_since is not None or endpoint.is_slow
    return settings.WEBHOOK_SECONDS if in_trouble else settings.WEBHOOK_QUICK_SECONDS
