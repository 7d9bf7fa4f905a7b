"""Sending again what was sent, or given up: the same event, under the same id."""

import datetime
import uuid

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from events.services import record_audit
from fintech_core.exceptions import NotFound
from users.attempts import count_attempt
from users.models import User
from webhooks.locks import lock_delivery, lock_endpoint
from webhooks.models import Delivery, DeliveryStatus, Endpoint, EndpointStatus
from webhooks.selectors import get_delivery_of, get_endpoint_of
from webhooks.services.endpoints import EndpointDisabled
from webhooks.services.waking import wake

# What one user may have sent again in a while: single deliveries, and spans of time, which count as many.
# While a span is made due nothing else is written for its endpoint, and new events may wait for that.
_LIMIT = 1_000
_OF_A_RANGE = 50
_WINDOW = datetime.timedelta(minutes=10)


def redeliver(*, acting_user: User, delivery_id: uuid.UUID) -> None:
    """Send one delivery again now, delivered or not, with all its tries anew.

    One under way is left to it. Raises ``NotFound``, ``EndpointDisabled``, ``TooManyRequests``.
    """
    _count(acting_user, 1)
    found = get_delivery_of(acting_user, delivery_id)
    with transaction.atomic(durable=True):
        endpoint = _lock_enabled(found.endpoint_id)
        delivery = lock_delivery(delivery_id)
        if delivery is None:
            raise NotFound
        _send_again(endpoint, [delivery.pk])
        _audit(endpoint, acting_user, 1)


def redeliver_range(
    *,
    acting_user: User,
    endpoint_id: uuid.UUID,
    since: datetime.datetime,
    before: datetime.datetime,
    status: str | None = None,
) -> tuple[int, bool]:
    """Send again what was made for the endpoint in a span of time, oldest first: all of it, or what has
    this status. Returns how many deliveries, and whether there are more than one call takes.

    Raises ``NotFound``, ``EndpointDisabled``, ``TooManyRequests``.
    """
    _count(acting_user, _OF_A_RANGE)
    get_endpoint_of(acting_user, endpoint_id)
    with transaction.atomic(durable=True):
        endpoint = _lock_enabled(endpoint_id)
        wanted = Delivery.objects.filter(
            endpoint=endpoint, created_at__gte=since, created_at__lt=before
        )
        if status is not None:
            wanted = wanted.filter(status=status)
        most = settings.WEBHOOK_REDELIVERIES_AT_ONCE
        ids = list(wanted.order_by("created_at", "id").values_list("pk", flat=True)[: most + 1])
        _send_again(endpoint, ids[:most])
        _audit(endpoint, acting_user, len(ids[:most]))
    return len(ids[:most]), len(ids) > most


def _count(acting_user: User, many: int) -> None:
    count_attempt(
        scope="webhook_redeliveries",
        subject=str(acting_user.pk),
        window=_WINDOW,
        limit=_LIMIT,
        by=many,
    )


def _lock_enabled(endpoint_id: uuid.UUID) -> Endpoint:
    endpoint = lock_endpoint(endpoint_id)
    if endpoint is None or endpoint.status == EndpointStatus.DELETED:
        raise NotFound
    if endpoint.status != EndpointStatus.ENABLED:
        raise EndpointDisabled(reason=endpoint.reason)
    return endpoint


def _send_again(endpoint: Endpoint, delivery_ids: list[uuid.UUID]) -> None:
    """Due at once, of a locked endpoint, which need not be given patience any longer."""
    idle = Q(handed_until__isnull=True) | Q(handed_until__lte=Now())
    Delivery.objects.filter(idle, pk__in=delivery_ids).update(
        status=DeliveryStatus.PENDING,
        tries=0,
        next_attempt_at=Now(),
        handed_until=None,
        claim=None,
    )
    Endpoint.objects.filter(pk=endpoint.pk).update(resume_at=None)
    wake([endpoint.pk])


def _audit(endpoint: Endpoint, acting_user: User, count: int) -> None:
    record_audit(
        action="webhook_endpoint.redelivered",
        subject_type="webhook_endpoint",
        subject_id=endpoint.pk,
        actor_id=acting_user.pk,
        after={"deliveries": count},
    )
