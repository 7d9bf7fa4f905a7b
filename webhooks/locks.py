"""Locks of this app, in the caller's transaction: endpoints in id order first, then deliveries."""

import uuid

from django.db.models import Q

from webhooks.models import Delivery, Endpoint, EndpointStatus


def lock_endpoint(endpoint_id: uuid.UUID) -> Endpoint | None:
    """The endpoint as it is now; nobody changes it, or hands out for it, before the commit."""
    locked = Endpoint.objects.select_for_update(of=("self",), no_key=True)
    return locked.filter(pk=endpoint_id).first()


def lock_listeners(owner_ids: set[uuid.UUID]) -> list[Endpoint]:
    """The enabled endpoints of these owners, if active, and the platform's."""
    whose = Q(owner__isnull=True) | Q(owner_id__in=owner_ids, owner__is_active=True)
    locked = Endpoint.objects.select_for_update(of=("self",), no_key=True)
    return list(locked.filter(whose, status=EndpointStatus.ENABLED).order_by("pk"))


def lock_delivery(delivery_id: uuid.UUID) -> Delivery | None:
    """The delivery as it is now; its endpoint is locked already."""
    locked = Delivery.objects.select_for_update(of=("self",), no_key=True)
    return locked.filter(pk=delivery_id).first()
