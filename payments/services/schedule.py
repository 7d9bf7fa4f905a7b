"""When a worker looks at an intent, a refund or a payout: at once where it has to be sent, then after
growing pauses for as long as its provider has not said the last word."""

import datetime
import uuid

from django.db import transaction
from django.utils import timezone

from payments.locks import lock_due
from payments.models import (
    IntentStatus,
    PaymentIntent,
    Payout,
    PayoutStatus,
    Refund,
    RefundStatus,
)
from payments.models.movements import Movement
from payments.services.steps import growing_pause

_SECOND, _MINUTE, _HOUR = (datetime.timedelta(seconds=n) for n in (1, 60, 3_600))
# What nobody has paid after so long is left to its webhook, and to who asks.
_GIVEN_UP = datetime.timedelta(days=30)
# What failed is asked about so often, in about a week.
_LOOKS_AT_FAILED = 19

# By status: the first pause after a step, and the longest. What is not here waits for nothing.
_PAUSES: dict[type[Movement], dict[str, tuple[datetime.timedelta, datetime.timedelta]]] = {
    PaymentIntent: {
        IntentStatus.REQUIRES_CONFIRMATION: (5 * _MINUTE, 12 * _HOUR),
        IntentStatus.PROCESSING: (15 * _SECOND, 30 * _MINUTE),
        # Its payer may try another card.
        IntentStatus.FAILED: (15 * _MINUTE, 12 * _HOUR),
    },
    Refund: {RefundStatus.PENDING: (15 * _SECOND, _HOUR)},
    Payout: {
        # Its wallet is frozen: else it is sent at once.
        PayoutStatus.PENDING: (_MINUTE, 10 * _MINUTE),
        PayoutStatus.IN_TRANSIT: (15 * _SECOND, _HOUR),
    },
}


def take_step(subject: Movement, status: str) -> None:
    """Set the status, and when it is looked at next. The caller holds the row's lock, and saves it."""
    subject.status, subject.attempts, subject.owed = status, 0, ""
    if waits_for_nothing(subject):
        subject.next_attempt_at = None
    else:
        look_again(subject)


def waits_for_nothing(subject: Movement) -> bool:
    """Its status expects no further word of its provider, and nothing is owed."""
    if subject.status == IntentStatus.FAILED and not subject.provider_reference:
        return True  # Its provider has no payment that could still be paid.
    return not subject.owed and subject.status not in _PAUSES[type(subject)]


def look_again(subject: Movement) -> None:
    """Have it looked at after a pause that grows with the looks so far; what failed, not for ever."""
    if subject.status == IntentStatus.FAILED and subject.attempts >= _LOOKS_AT_FAILED:
        subject.next_attempt_at = None
        return
    first, longest = _PAUSES[type(subject)].get(subject.status, (_MINUTE, _HOUR))
    pause = growing_pause(subject.attempts, first=first, longest=longest)
    subject.next_attempt_at = timezone.now() + pause


def begin_look(
    model: type[Movement], subject_id: uuid.UUID, attempts: int | None = None
) -> Movement | None:
    """Take note of a look at it, and plan the next; None where none is due any more, or, with
    ``attempts``, where it was looked at since there were so many.

    Committed before the provider is asked: a worker that dies meanwhile has only lost this look.
    """
    with transaction.atomic(durable=True):
        subject = lock_due(model, subject_id)
        if subject is None or (attempts is not None and subject.attempts != attempts):
            return None
        subject.attempts += 1
        look_again(subject)
        is_forgotten = (
            subject.status == IntentStatus.REQUIRES_CONFIRMATION
            and subject.created_at < timezone.now() - _GIVEN_UP
        )
        if is_forgotten:
            subject.next_attempt_at = None
        subject.save(update_fields=["attempts", "next_attempt_at"])
    return None if is_forgotten else subject


def end_looks(subject: Movement) -> None:
    """Ask no more by ourselves: what its provider says does not fit, and a person looks at it. Its
    webhooks, and who asks for it, are heard all the same."""
    with transaction.atomic(durable=True):
        locked = lock_due(type(subject), subject.pk)
        if locked is not None:
            locked.next_attempt_at = None
            locked.save(update_fields=["next_attempt_at"])
