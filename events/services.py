"""Writing the audit trail."""

import uuid
from typing import Any

from django.db import transaction

from events.models import AuditRecord
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
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("An audit record joins its act's transaction.")
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
