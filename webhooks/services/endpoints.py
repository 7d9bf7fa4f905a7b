"""Naming, changing and removing endpoints, and their secrets."""

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction

from events.services import record_audit
from fintech_core.exceptions import DomainError, InvalidInput, NotFound
from fintech_core.signing import new_secret
from users.attempts import count_attempt
from users.locks import lock_user
from users.models import User
from webhooks import clock
from webhooks.addresses import LookupTimedOut, UnacceptableURL, addresses_of, parse_url
from webhooks.locks import lock_endpoint
from webhooks.models import EVENT_TYPES, EVERY_TYPE, DisabledBecause, Endpoint, EndpointStatus
from webhooks.sealing import Unreadable, seal, seal_anew
from webhooks.selectors import get_endpoint_of, may_manage_platform
from webhooks.services.parking import disable, park
from webhooks.services.waking import wake

# How long a caller waits for the host of a new URL to be looked up.
_LOOKUP_SECONDS = 3.0


class TooManyEndpoints(DomainError):
    """409: the user has as many endpoints as one may have. Fact: ``limit``."""

    status = 409
    code = "too_many_endpoints"
    title = "No more endpoints can be added; delete one first."


class EndpointDisabled(DomainError):
    """409: nothing is sent to a disabled endpoint. Fact: ``reason``."""

    status = 409
    code = "endpoint_disabled"
    title = "The endpoint is disabled; enable it first."


def create_endpoint(
    *,
    acting_user: User,
    url: str,
    events: Sequence[str],
    description: str = "",
    platform: bool = False,
) -> tuple[Endpoint, str]:
    """A new enabled endpoint and its secret, which is told here and never again.

    It hears of what happens to its owner from now on; one of the ``platform`` of what happens to
    anybody. Raises ``InvalidInput`` for a URL that may not be sent to and for unknown types,
    ``TooManyEndpoints``, ``TooManyRequests``, and ``PermissionDenied``.
    """
    if platform and not may_manage_platform(acting_user):
        raise PermissionDenied
    chosen = _require_types(events)
    _require_acceptable(url, acting_user)
    secret = new_secret()
    with transaction.atomic(durable=True):
        lock_user(acting_user.pk)  # Two at once would both be the last that may be added.
        limit = settings.WEBHOOK_ENDPOINTS_PER_USER
        own = Endpoint.objects.filter(owner_id=None if platform else acting_user.pk)
        if own.exclude(status=EndpointStatus.DELETED).count() >= limit:
            raise TooManyEndpoints(limit=limit)
        endpoint = Endpoint.objects.create(
            owner=None if platform else acting_user,
            url=url,
            description=description,
            events=chosen,
            secret=seal(secret),
        )
        _audit("webhook_endpoint.created", endpoint, acting_user, after=_shown(endpoint))
    return endpoint, secret


def update_endpoint(
    *, acting_user: User, endpoint_id: uuid.UUID, changes: dict[str, Any]
) -> Endpoint:
    """Change any of ``url``, ``events``, ``description`` and ``status`` (``enabled``, ``disabled``).

    Enabling forgets past failures; what was parked meanwhile is sent by a redelivery only. Raises
    ``NotFound``, ``InvalidInput``, ``TooManyRequests``.
    """
    get_endpoint_of(acting_user, endpoint_id)
    if "events" in changes:
        changes = {**changes, "events": _require_types(changes["events"])}
    if "url" in changes:
        _require_acceptable(changes["url"], acting_user)
    with transaction.atomic(durable=True):
        endpoint = _lock(endpoint_id)
        before = _shown(endpoint)
        for name in ("url", "events", "description"):
            setattr(endpoint, name, changes.get(name, getattr(endpoint, name)))
        endpoint.save(update_fields=["url", "events", "description"])
        if changes.get("status", endpoint.status) != endpoint.status:
            if changes["status"] == EndpointStatus.DISABLED:
                disable(endpoint, DisabledBecause.BY_OWNER)
            else:
                _enable(endpoint)
        _audit(
            "webhook_endpoint.changed",
            endpoint,
            acting_user,
            before=before,
            after=_shown(endpoint),
        )
    return endpoint


def delete_endpoint(*, acting_user: User, endpoint_id: uuid.UUID) -> None:
    """Send nothing more to it and forget its secrets. Raises ``NotFound``."""
    get_endpoint_of(acting_user, endpoint_id)
    with transaction.atomic(durable=True):
        endpoint = _lock(endpoint_id)
        before = _shown(endpoint)
        endpoint.status, endpoint.due_at = EndpointStatus.DELETED, None
        endpoint.secret, endpoint.previous_secret = "", ""
        endpoint.save(update_fields=["status", "due_at", "secret", "previous_secret"])
        park(endpoint)
        _audit("webhook_endpoint.deleted", endpoint, acting_user, before=before)


def rotate_secret(*, acting_user: User, endpoint_id: uuid.UUID) -> tuple[Endpoint, str]:
    """A new secret, told here and never again; the present one signs, too, until its time is up.

    One that was rotated away before ends at once: two sign at most. Raises ``NotFound``.
    """
    get_endpoint_of(acting_user, endpoint_id)
    secret = new_secret()
    with transaction.atomic(durable=True):
        endpoint = _lock(endpoint_id)
        endpoint.previous_secret = endpoint.secret
        endpoint.previous_expires_at = clock.now() + settings.WEBHOOK_ROTATION_OVERLAP
        endpoint.secret = seal(secret)
        endpoint.save(update_fields=["secret", "previous_secret", "previous_expires_at"])
        _audit("webhook_endpoint.secret_rotated", endpoint, acting_user)
    return endpoint, secret


def reseal_secrets() -> tuple[int, int]:
    """Seal all secrets by the present key; returns of how many endpoints, and how many stay as they are
    because no configured key reads them."""
    resealed = unreadable = 0
    kept = Endpoint.objects.exclude(status=EndpointStatus.DELETED)
    for endpoint_id in kept.values_list("pk", flat=True):
        with transaction.atomic(durable=True):
            endpoint = lock_endpoint(endpoint_id)
            if endpoint is None or endpoint.status == EndpointStatus.DELETED:
                continue
            try:
                endpoint.secret = seal_anew(endpoint.secret)
                if endpoint.previous_secret:
                    endpoint.previous_secret = seal_anew(endpoint.previous_secret)
            except Unreadable:
                unreadable += 1
                continue
            endpoint.save(update_fields=["secret", "previous_secret"])
            resealed += 1
    return resealed, unreadable


def sealed_secrets_of(endpoint: Endpoint, at: datetime.datetime) -> list[str]:
    """What signs now, sealed, the newest first."""
    sealed = [endpoint.secret]
    expires_at = endpoint.previous_expires_at
    if endpoint.previous_secret and expires_at is not None and expires_at > at:
        sealed.append(endpoint.previous_secret)
    return sealed


def _lock(endpoint_id: uuid.UUID) -> Endpoint:
    endpoint = lock_endpoint(endpoint_id)
    if endpoint is None or endpoint.status == EndpointStatus.DELETED:
        raise NotFound
    return endpoint


def _enable(endpoint: Endpoint) -> None:
    endpoint.status, endpoint.reason = EndpointStatus.ENABLED, ""
    endpoint.failing_since, endpoint.failures, endpoint.resume_at = None, 0, None
    endpoint.has_succeeded = endpoint.is_slow = False
    endpoint.save()
    wake([endpoint.pk])


def _require_types(events: Sequence[str]) -> list[str]:
    """The chosen types, each once. Raises ``InvalidInput`` for what is never announced."""
    unknown = [name for name in events if name not in (*EVENT_TYPES, EVERY_TYPE)]
    if unknown or not events:
        text = f'Choose from {", ".join(EVENT_TYPES)}, or "{EVERY_TYPE}" for all.'
        raise InvalidInput({"events": [text]}, {"events": ["invalid_choice"]})
    return [EVERY_TYPE] if EVERY_TYPE in events else list(dict.fromkeys(events))


def _require_acceptable(url: str, acting_user: User) -> None:
    """Raise ``InvalidInput`` where nothing may be sent to the URL as its host resolves now.

    It is judged again for each connection. How often a user may ask is bounded: the answer tells
    something about the host.
    """
    count_attempt(
        scope="webhook_urls",
        subject=str(acting_user.pk),
        window=datetime.timedelta(days=1),
        limit=settings.WEBHOOK_URLS_PER_DAY,
    )
    try:
        addresses_of(parse_url(url), seconds=_LOOKUP_SECONDS)
    except UnacceptableURL as error:
        raise InvalidInput({"url": [str(error)]}, {"url": [error.code]}) from None
    except LookupTimedOut:
        text = "The host was not found in time."
        raise InvalidInput({"url": [text]}, {"url": ["no_public_address"]}) from None


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "url": endpoint.url,
        "events": endpoint.events,
        "status": endpoint.status,
        "platform": endpoint.is_platform,
    }


def _audit(
    action: str,
    endpoint: Endpoint,
    acting_user: User,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    record_audit(
        action=action,
        subject_type="webhook_endpoint",
        subject_id=endpoint.pk,
        actor_id=acting_user.pk,
        before=before,
        after=after,
    )
