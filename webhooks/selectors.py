"""Reading endpoints and deliveries, always by who may see them."""

import datetime
import uuid
from typing import Any

from django.db.models import Prefetch, Q, QuerySet

from fintech_core.exceptions import NotFound
from users.models import User
from webhooks.models import Delivery, DeliveryAttempt, Endpoint, EndpointStatus

MANAGE_PLATFORM = "webhooks.manage_platform_endpoints"

# Tries shown of one delivery, the newest: redeliveries have no end.
_TRIES_SHOWN = 50


def may_manage_platform(user: User) -> bool:
    """Whether the user looks after the platform's endpoints."""
    return user.is_staff and user.has_perm(MANAGE_PLATFORM)


def list_endpoints_of(user: User) -> QuerySet[Endpoint]:
    """The user's own endpoints, and the platform's for those who manage them; but for deleted ones."""
    return Endpoint.objects.filter(_whose(user)).exclude(status=EndpointStatus.DELETED)


def get_endpoint_of(user: User, endpoint_id: uuid.UUID) -> Endpoint:
    """One of these. Raises ``NotFound`` for any other."""
    endpoint = list_endpoints_of(user).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound
    return endpoint


def list_deliveries_of(
    user: User,
    *,
    endpoint_id: uuid.UUID | None = None,
    event_type: str | None = None,
    status: str | None = None,
    since: datetime.datetime | None = None,
    before: datetime.datetime | None = None,
) -> QuerySet[Delivery]:
    """Deliveries to these endpoints, deleted ones included, with their event and their newest tries."""
    asked: dict[str, Any] = {
        "endpoint_id": endpoint_id,
        "event_type": event_type,
        "status": status,
        "created_at__gte": since,
        "created_at__lt": before,
    }
    wanted = {name: value for name, value in asked.items() if value is not None}
    tries = DeliveryAttempt.objects.order_by("-id")[:_TRIES_SHOWN]
    deliveries = (
        Delivery.objects.filter(_whose(user), **wanted)
        .select_related("event", "endpoint")
        .defer("event__body")
    )
    # The model declares them, so that whoever reads them is checked.
    newest = Prefetch("attempts", tries, to_attr="newest_attempts")
    return deliveries.prefetch_related(newest)  # type: ignore[no-redef]


def get_delivery_of(user: User, delivery_id: uuid.UUID) -> Delivery:
    """One of these. Raises ``NotFound`` for any other."""
    delivery = list_deliveries_of(user).filter(pk=delivery_id).first()
    if delivery is None:
        raise NotFound
    return delivery


def _whose(user: User) -> Q:
    own = Q(owner_id=user.pk)
    return own | Q(owner_id__isnull=True) if may_manage_platform(user) else own
