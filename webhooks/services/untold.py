"""Announcements that could not be told: set aside, and tried again when somebody may have mended it."""

from dataclasses import asdict

from django.db import transaction

from events.models import OutboxEvent
from events.services import Announcement
from webhooks.models import UntoldAnnouncement

_AT_ONCE = 1_000
_KEPT = ("id", "type", "owner_id", "subject_id", "sequence", "data", "created_at")


def set_aside(announcement: Announcement, trouble: Exception) -> None:
    """Keep it, in the caller's transaction, which took it out of the outbox."""
    # PostgreSQL's further lines quote the row.
    first, _, _ = f"{type(trouble).__name__}: {trouble}".partition("\n")
    told = first.replace("\0", "")[:200]
    UntoldAnnouncement.objects.create(**asdict(announcement), trouble=told)


def put_back() -> int:
    """Put what was set aside into the outbox again, a bounded part of it; returns how many."""
    with transaction.atomic(durable=True):
        waiting = UntoldAnnouncement.objects.select_for_update(skip_locked=True).order_by("pk")
        rows = list(waiting[:_AT_ONCE])
        OutboxEvent.objects.bulk_create(
            OutboxEvent(**{name: getattr(row, name) for name in _KEPT}) for row in rows
        )
        UntoldAnnouncement.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)
