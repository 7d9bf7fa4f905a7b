"""What a person must look at: noted once, resolved by an operator who says how, or by what came of it."""

import logging
import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from events.services import record_audit
from fintech_core.exceptions import DomainError, InvalidInput, NotFound
from payments.models import PaymentIssue
from users.models import User

logger = logging.getLogger(__name__)

RESOLVE = "payments.resolve_issue"
RESOLUTION_MAX_LENGTH = 500


class IssueResolved(DomainError):
    """409: somebody has resolved it already."""

    status = 409
    code = "invalid_state"
    title = "The issue is resolved already."


def open_issue(
    *,
    kind: str,
    provider: str,
    subject_type: str = "",
    subject_id: uuid.UUID | None = None,
    reference: str = "",
    facts: dict[str, Any] | None = None,
) -> bool:
    """Note something for an operator; returns False where the same is open already.

    ``facts`` are plain JSON values and hold nothing secret. Joins the caller's transaction where there
    is one, so that an issue and what was decided on account of it commit together.
    """
    issue = PaymentIssue(
        kind=kind,
        provider=provider,
        subject_type=subject_type,
        subject_id=subject_id,
        reference=reference,
        facts=facts or {},
    )
    with transaction.atomic():
        # Another who notes the same right now is waited for, and then it is known.
        PaymentIssue.objects.bulk_create([issue], ignore_conflicts=True)
        is_new = PaymentIssue.objects.filter(pk=issue.pk).exists()
    if is_new:
        logger.error(
            "payment_issue_opened",
            extra={"issue": str(issue.pk), "kind": kind, "provider": provider},
        )
    return is_new


def resolve_issue(*, issue_id: uuid.UUID, acting_user: User, resolution: str) -> PaymentIssue:
    """Close an issue, on record. Raises ``NotFound``, ``IssueResolved``, ``InvalidInput`` without words
    on how, and ``PermissionDenied`` for who does not hold ``payments.resolve_issue``."""
    if not acting_user.has_perm(RESOLVE):
        raise PermissionDenied
    with transaction.atomic(durable=True):
        issue = PaymentIssue.objects.select_for_update(no_key=True).filter(pk=issue_id).first()
        if issue is None:
            raise NotFound
        if issue.resolved_at is not None:
            raise IssueResolved
        close_issue(issue, acting_user=acting_user, resolution=resolution)
    return issue


def settle_issue(*, kind: str, subject_id: uuid.UUID, resolution: str) -> None:
    """Close what is open of this kind about a subject, since it came right by itself; on record.

    Joins the transaction in which it did.
    """
    issues = PaymentIssue.objects.select_for_update(no_key=True)
    for issue in issues.filter(kind=kind, subject_id=subject_id, resolved_at=None):
        close_issue(issue, acting_user=None, resolution=resolution)


def close_issue(issue: PaymentIssue, *, acting_user: User | None, resolution: str) -> None:
    """Close an issue that is open and locked by the caller's transaction, on record; None where no
    person did."""
    if not resolution.strip() or len(resolution) > RESOLUTION_MAX_LENGTH:
        raise InvalidInput(
            {"resolution": [f"Say how, in at most {RESOLUTION_MAX_LENGTH} characters."]}
        )
    issue.resolved_at, issue.resolved_by = timezone.now(), acting_user
    issue.resolution = resolution
    issue.save(update_fields=["resolved_at", "resolved_by", "resolution"])
    record_audit(
        action="payment_issue.resolved",
        subject_type="payment_issue",
        subject_id=issue.pk,
        actor_id=acting_user.pk if acting_user else None,
        before={"kind": issue.kind, "provider": issue.provider, "reference": issue.reference},
        reason=resolution,
    )
