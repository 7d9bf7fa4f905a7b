"""Keeping what is to be told: an event per owner, a delivery per endpoint."""

import datetime
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fintech_core.times import format_time
from webhooks import clock
from webhooks.locks import lock_listeners
from webhooks.models import Delivery, Endpoint, WebhookEvent
from webhooks.services.waking import wake


@dataclass(frozen=True, slots=True)
class Story:
    """An announcement that can be told: to whom, of what, and how it looks to each of them.

    ``sequence`` counts what is told of one subject, from 1. ``represent`` takes the owner to tell, None
    for the platform, and returns plain JSON values.
    """

    announcement_id: uuid.UUID
    type: str
    subject_id: uuid.UUID
    sequence: int
    occurred_at: datetime.datetime
    owners: frozenset[uuid.UUID]
    represent: Callable[[uuid.UUID | None], dict[str, Any]]


def keep_stories(stories: Sequence[Story]) -> int:
    """Write, in the caller's transaction, an event for each owner with an endpoint that wants it, and its
    deliveries, due at once; returns how many. Nothing is kept of what nobody wants."""
    listeners: dict[uuid.UUID | None, list[Endpoint]] = defaultdict(list)
    for endpoint in lock_listeners(set().union(*(story.owners for story in stories))):
        listeners[endpoint.owner_id].append(endpoint)
    events: list[WebhookEvent] = []
    deliveries: list[Delivery] = []
    now = clock.now()
    for story in stories:
        for owner_id in sorted(story.owners & listeners.keys(), key=str):
            _tell(story, owner_id, listeners[owner_id], now, events, deliveries)
        _tell(story, None, listeners[None], now, events, deliveries)
    WebhookEvent.objects.bulk_create(events)
    Delivery.objects.bulk_create(deliveries)
    wake({delivery.endpoint_id for delivery in deliveries})
    return len(deliveries)


def _tell(
    story: Story,
    owner_id: uuid.UUID | None,
    listeners: Iterable[Endpoint],
    now: datetime.datetime,
    events: list[WebhookEvent],
    deliveries: list[Delivery],
) -> None:
    wanting = [endpoint for endpoint in listeners if endpoint.wants(story.type)]
    if not wanting:
        return
    event = WebhookEvent(
        announcement_id=story.announcement_id,
        owner_id=owner_id,
        type=story.type,
        subject_id=story.subject_id,
        sequence=story.sequence,
        occurred_at=story.occurred_at,
        created_at=now,
    )
    event.body = _body(event, story.represent(owner_id))
    events.append(event)
    deliveries.extend(
        Delivery(
            event=event,
            endpoint=endpoint,
            owner_id=owner_id,
            event_type=story.type,
            next_attempt_at=now,
            created_at=now,
        )
        for endpoint in wanting
    )


def _body(event: WebhookEvent, data: dict[str, Any]) -> str:
    """The JSON that is sent, now and in each later try."""
    return orjson.dumps(
        {
            "id": str(event.pk),
            "type": event.type,
            "created_at": format_time(event.occurred_at),
            "sequence": event.sequence,
            "data": data,
        }
    ).decode()
