"""Work of the Celery workers: each task takes ids, and is harmless when run twice or at once."""

import time
import uuid

from celery import shared_task

from webhooks import services
from webhooks.sending import send


@shared_task(name="webhooks.deliver")
def deliver(delivery_id: str) -> None:
    """Try one delivery that was handed out."""
    claimed = services.claim_delivery(uuid.UUID(delivery_id))
    if claimed is not None:
        services.record_attempt(claimed, send(claimed, at=int(time.time())))


@shared_task(name="webhooks.prune")
def prune() -> None:
    """Remove what has been kept long enough, and try again what could not be told."""
    services.put_back()
    services.park_leftovers()
    services.prune_events()
