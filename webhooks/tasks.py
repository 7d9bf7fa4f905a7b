"""Work of the Celery workers: each task takes ids, and is harmless when run twice or at once."""

import time
import uuid

from celery import shared_task

from webhooks import services
from webhooks.sending import send

# How long one receiver's deliveries may keep a thread while others wait for it.
TURN_SECONDS = 0.25


@shared_task(name="webhooks.deliver")
def deliver(delivery_id: str) -> None:
    """Try one delivery that was handed out, and for a moment those that wait behind it."""
    stop = time.monotonic() + TURN_SECONDS
    claimed = services.claim_delivery(uuid.UUID(delivery_id))
    while claimed is not None:
        answer = send(claimed, at=int(time.time()))
        claimed = services.record_attempt(claimed, answer, go_on=time.monotonic() < stop)


@shared_task(name="webhooks.prune")
def prune() -> None:
    """Remove what has been kept long enough, and try again what could not be told."""
    services.put_back()
    services.park_leftovers()
    services.prune_events()
