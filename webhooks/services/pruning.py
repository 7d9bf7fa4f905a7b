"""Removing what has been kept long enough, a bounded part at a time."""

import time
import uuid

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from webhooks import clock
from webhooks.locks import lock_endpoint
from webhooks.models import (
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    Endpoint,
    EndpointStatus,
    WebhookEvent,
)
from webhooks.services.parking import CHUNK, park

_EVENTS = 1_000


def prune_events(*, for_seconds: float = 60) -> int:
    """Remove events past their age with their deliveries and tries; returns how many events.

    What is pending still, because somebody had it sent again, stays until that has ended.
    """
    stop = time.monotonic() + for_seconds
    removed = 0
    while time.monotonic() < stop:
        count = _prune_some()
        removed += count
        if count < _EVENTS:
            break
    gone = Endpoint.objects.filter(status=EndpointStatus.DELETED)
    gone.exclude(Exists(Delivery.objects.filter(endpoint=OuterRef("pk")))).delete()
    return removed


def _prune_some() -> int:
    pending = Delivery.objects.filter(event=OuterRef("pk"), status=DeliveryStatus.PENDING)
    old = WebhookEvent.objects.filter(created_at__lt=clock.now() - settings.WEBHOOK_RETENTION)
    with transaction.atomic(durable=True):
        ids = list(
            old.exclude(Exists(pending))
            .order_by("created_at")
            .values_list("pk", flat=True)[:_EVENTS]
        )
        DeliveryAttempt.objects.filter(delivery__event__in=ids).delete()
        Delivery.objects.filter(event__in=ids).delete()
        WebhookEvent.objects.filter(pk__in=ids).delete()
    return len(ids)


def park_leftovers() -> int:
    """Park what one statement left pending for endpoints that are not enabled any more."""
    pending = Delivery.objects.filter(endpoint=OuterRef("pk"), status=DeliveryStatus.PENDING)
    stopped = Endpoint.objects.exclude(status=EndpointStatus.ENABLED).filter(Exists(pending))
    parked = 0
    for endpoint_id in stopped.values_list("pk", flat=True)[:100]:
        while count := _park_some(endpoint_id):
            parked += count
            if count < CHUNK:
                break
    return parked


def _park_some(endpoint_id: uuid.UUID) -> int:
    """A part in a transaction of its own: whoever waits for the endpoint waits for no more than that."""
    with transaction.atomic(durable=True):
        endpoint = lock_endpoint(endpoint_id)
        if endpoint is None or endpoint.status == EndpointStatus.ENABLED:
            return 0
        return park(endpoint)
