"""Endpoints of tests, and what relay and workers do, done here and now."""

import ipaddress
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from events.services import announce
from users.models import User
from webhooks import services, tasks, telling
from webhooks.models import Delivery, Endpoint
from webhooks.tests.receivers import Receiver

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]


def make_endpoint(owner: User, receiver: Receiver | None = None, **values: Any) -> Endpoint:
    """An enabled endpoint of the owner's that hears of everything; its receiver is given the secret."""
    endpoint, secret = services.create_endpoint(
        acting_user=owner,
        url=values.pop("url", receiver.url if receiver else "http://127.0.0.1:1024/hook"),
        events=values.pop("events", ["*"]),
        **values,
    )
    if receiver is not None:
        receiver.secret = secret
    return endpoint


def tell(owner: User, event_type: str = "kyc.approved", **values: Any) -> uuid.UUID:
    """Announce something of the owner's; the id of its subject."""
    subject_id = values.pop("subject_id", None) or uuid.uuid4()
    with transaction.atomic():
        announce(
            event_type,
            owner_id=owner.pk,
            subject_id=subject_id,
            sequence=values.pop("sequence", 1),
            data=values.pop("data", {"status": "approved"}),
        )
    return uuid.UUID(str(subject_id))


def fan_out() -> None:
    """Turn every announcement into deliveries."""
    while telling.tell_endpoints():
        pass


def deliver_due(*endpoints: Endpoint) -> int:
    """Hand out and try what is due for these endpoints, once; returns how many tries."""
    wanted = {endpoint.pk for endpoint in endpoints}
    handed = services.hand_out()
    mine = Delivery.objects.filter(pk__in=[h.delivery_id for h in handed], endpoint__in=wanted)
    for pk in mine.order_by("id").values_list("pk", flat=True):
        tasks.deliver(str(pk))
    return len(mine)


def deliver_all(*endpoints: Endpoint, seconds: float = 20) -> None:
    """Fan out and deliver until nothing of these endpoints is pending."""
    fan_out()
    deadline = time.monotonic() + seconds
    while Delivery.objects.filter(endpoint__in=endpoints, status="pending").exists():
        assert time.monotonic() < deadline, list(Delivery.objects.filter(endpoint__in=endpoints))
        if not deliver_due(*endpoints):
            time.sleep(0.02)


def make_due(*endpoints: Endpoint) -> None:
    """Let all pauses of these endpoints and their deliveries be over."""
    Endpoint.objects.filter(pk__in=[e.pk for e in endpoints]).update(resume_at=None, due_at=Now())
    pending = Delivery.objects.filter(endpoint__in=endpoints, status="pending")
    pending.update(next_attempt_at=Now(), handed_until=None, claim=None)


def retried(*endpoints: Endpoint) -> int:
    """Let all pauses be over, and try what is due."""
    make_due(*endpoints)
    return deliver_due(*endpoints)


def until(happens: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for it; fails after that many seconds."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
        connection.close_if_unusable_or_obsolete()
