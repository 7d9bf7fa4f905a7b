"""Handing deliveries out to workers, under a lease."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from fintech_core.calls import call
from webhooks.models import Delivery, DeliveryStatus, Endpoint

# Endpoints that one look goes through.
_ENDPOINTS = 100


@dataclass(frozen=True, slots=True)
class Handed:
    """A delivery that is to be sent now; ``in_trouble`` where its receiver fails or is slow."""

    delivery_id: uuid.UUID
    in_trouble: bool


def hand_out(*, has_room: bool = True, has_slow_room: bool = True) -> list[Handed]:
    """Deliveries that are due, leased: unless somebody tells what came of them, they are due again when
    the lease ends. Several may do so at once; no delivery goes to two of them.

    Those of receivers in trouble wait without ``has_slow_room``, the others without ``has_room``.
    """
    with transaction.atomic(durable=True):
        rows = call(
            "hand_out_deliveries",
            _ENDPOINTS,
            settings.WEBHOOK_AT_ONCE,
            settings.WEBHOOK_LEASE,
            has_room,
            has_slow_room,
        )
    return [Handed(*row) for row in rows]


def give_back(delivery_ids: Collection[uuid.UUID]) -> None:
    """Let these be handed out again at once: nobody was told of them."""
    with transaction.atomic(durable=True):
        unclaimed = Delivery.objects.filter(
            pk__in=delivery_ids, status=DeliveryStatus.PENDING, claim__isnull=True
        )
        endpoints = list(unclaimed.values_list("endpoint_id", flat=True).distinct())
        locked = Endpoint.objects.select_for_update(no_key=True).filter(pk__in=endpoints)
        list(locked.order_by("pk").values_list("pk"))
        unclaimed.update(handed_until=None, next_attempt_at=Now())
        Endpoint.objects.filter(pk__in=endpoints).update(due_at=Now())
