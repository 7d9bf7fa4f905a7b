"""Stopping all postings when the books do not agree, and letting them go on."""

import logging
import uuid

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from events.services import record_audit
from fintech_core.exceptions import DomainError
from fintech_core.sqlstates import constraint_of
from transactions.models import LedgerHalt
from users.models import User

logger = logging.getLogger(__name__)


class NoHaltStands(DomainError):
    """409: postings are not halted."""

    status = 409
    code = "invalid_state"
    title = "Postings are not halted."


def raise_halt(*, reason: str) -> LedgerHalt | None:
    """From its commit on no money moves; None where a halt stands already.

    A posting that is at work then still ends. It is logged as critical: somebody has to come.
    """
    try:
        with transaction.atomic():
            halt = LedgerHalt.objects.create(reason=reason)
            record_audit(
                action="ledger.halted",
                subject_type="ledger_halt",
                subject_id=_subject_of(halt),
                actor_id=None,
                after={"reason": reason},
            )
    except IntegrityError as error:
        if constraint_of(error) != "one_halt_stands_at_a_time":
            raise
        return None
    logger.critical("postings_halted", extra={"halt": halt.pk, "reason": reason})
    return halt


def clear_halt(*, acting_user: User, reason: str) -> LedgerHalt:
    """Let money move again, on record.

    Raises ``PermissionDenied`` for who does not hold ``transactions.clear_halt``, and ``NoHaltStands``.
    A verification that still finds the books broken halts them again.
    """
    if not acting_user.has_perm("transactions.clear_halt"):
        raise PermissionDenied
    with transaction.atomic():
        halt = LedgerHalt.objects.select_for_update().filter(cleared_at=None).first()
        if halt is None:
            raise NoHaltStands
        halt.cleared_at, halt.cleared_by, halt.cleared_because = timezone.now(), acting_user, reason
        halt.save(update_fields=["cleared_at", "cleared_by", "cleared_because"])
        record_audit(
            action="ledger.halt_cleared",
            subject_type="ledger_halt",
            subject_id=_subject_of(halt),
            actor_id=acting_user.pk,
            before={"reason": halt.reason},
            reason=reason,
        )
    logger.warning("postings_go_on", extra={"halt": halt.pk, "user": str(acting_user.pk)})
    return halt


def _subject_of(halt: LedgerHalt) -> uuid.UUID:
    """The trail of a halt; its number as a UUID."""
    return uuid.UUID(int=halt.pk)
