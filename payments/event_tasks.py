"""Acting on what providers told. Tasks are harmless when run twice or at once."""

import uuid

from celery import shared_task

from payments.services import events


@shared_task(name="payments.handle_event")
def handle_event_task(event_id: str) -> None:
    """Act on one stored event."""
    events.handle_event(uuid.UUID(event_id))


@shared_task(name="payments.prune_events")
def prune_events_task() -> int:
    """Forget events that were done with long ago. Returns how many."""
    return events.prune_events()
