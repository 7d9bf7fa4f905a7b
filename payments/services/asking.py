"""An operator has the provider asked again, where nothing does it any more or not soon enough."""

import uuid

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from events.services import record_audit
from fintech_core.exceptions import InvalidInput, NotFound
from payments.locks import lock_movement
from payments.models import IntentStatus, Payout, PayoutStatus
from payments.models.movements import SUBJECT_NAMES, Movement
from payments.services.errors import InvalidPaymentState
from payments.services.schedule import waits_for_nothing
from users.models import User

ASK = "payments.ask_provider"
REASON_MAX_LENGTH = 500


def ask_again(
    model: type[Movement], *, subject_id: uuid.UUID, acting_user: User, reason: str
) -> Movement:
    """Have a worker look at an intent, a refund or a payout now, and after the first pauses again; on
    record.

    Raises ``NotFound``; ``InvalidInput`` without a reason; ``InvalidPaymentState`` for what came to
    nothing for good; ``PermissionDenied`` for who does not hold ``payments.ask_provider``.
    """
    if not acting_user.has_perm(ASK):
        raise PermissionDenied
    if not reason.strip() or len(reason) > REASON_MAX_LENGTH:
        raise InvalidInput({"reason": [f"Say why, in at most {REASON_MAX_LENGTH} characters."]})
    with transaction.atomic(durable=True):
        subject = lock_movement(model, subject_id)
        if subject is None:
            raise NotFound
        _require_open(subject)
        record_audit(
            action=f"{SUBJECT_NAMES[model]}.asked_again",
            subject_type=SUBJECT_NAMES[model],
            subject_id=subject.pk,
            actor_id=acting_user.pk,
            before={"status": subject.status, "attempts": subject.attempts, "owed": subject.owed},
            reason=reason,
        )
        subject.next_attempt_at, subject.attempts = timezone.now(), 0
        subject.save(update_fields=["next_attempt_at", "attempts"])
    return subject


def _require_open(subject: Movement) -> None:
    """A word of its provider may still mean something for it. What failed or was called off here is
    not sent a second time; what succeeded may have come back since."""
    done = {PayoutStatus.PAID} if isinstance(subject, Payout) else {IntentStatus.SUCCEEDED}
    if waits_for_nothing(subject) and subject.status not in done:
        raise InvalidPaymentState(f"It is {subject.status}.", payment_status=subject.status)
