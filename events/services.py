"""Writing the audit trail and the outbox, and taking events out of it."""

import datetime
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from events.models import AuditRecord, OutboxEvent
from fintech_core.calls import call
from fintech_core.middleware import current_request_id


def record_audit(
    *,
    action: str,
    subject_type: str,
    subject_id: uuid.UUID,
    actor_id: uuid.UUID | None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Append one record to the subject's trail, in the caller's transaction.

    ``before`` and ``after`` are plain JSON values and hold nothing secret: no password, token or full
    document number. Raises ``TransactionManagementError`` outside a transaction: an act and its record
    commit together or not at all.
    """
    _require_transaction()
    AuditRecord.objects.create(
        action=action,
        subject_type=subject_type,
        subject_id=subject_id,
        actor_id=actor_id,
        request_id=current_request_id(),
        before=before or {},
        after=after or {},
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event that was taken out of the outbox. Of the ledger's only ``id``, that of the transaction,
    and ``type`` are said."""

    id: uuid.UUID
    type: str
    owner_id: uuid.UUID | None
    subject_id: uuid.UUID | None
    sequence: int | None
    data: dict[str, Any] | None
    created_at: datetime.datetime | None


def announce(
    event_type: str,
    *,
    owner_id: uuid.UUID,
    subject_id: uuid.UUID,
    sequence: int,
    data: dict[str, Any],
) -> None:
    """Write an event into the outbox, in the caller's transaction.

    ``data`` is the subject as its owner sees it over HTTP, plain JSON values and nothing secret;
    ``sequence`` counts the subject's events from 1. Raises ``TransactionManagementError`` outside a
    transaction: what happened and its announcement commit together or not at all.
    """
    _require_transaction()
    OutboxEvent.objects.create(
        type=event_type,
        owner_id=owner_id,
        subject_id=subject_id,
        sequence=sequence,
        data=data,
        created_at=timezone.now(),
    )


def take_announcements(limit: int) -> list[Announcement]:
    """Take the oldest events out of the outbox, in the caller's transaction, which notes whom to tell.

    Several may do so at once: each event goes to one of them, and back when its transaction fails.
    """
    _require_transaction()
    taken = [Announcement(*row) for row in call("take_outbox_events", limit)]
    return sorted(taken, key=lambda event: event.id)


def _require_transaction() -> None:
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "What is recorded joins its act's transaction."
        )
