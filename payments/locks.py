"""The one place where rows of payments are locked, and the order in which: the intent before its
refund.

They are locked before any wallet is. ``FOR NO KEY UPDATE`` lets rows that reference one be inserted
meanwhile.
"""

import uuid
from typing import TypeVar

from django.db import connection

from payments.models import PaymentIntent, Payout, Refund
from payments.models.movements import Movement

M = TypeVar("M", bound=Movement)


def lock_intent(intent_id: uuid.UUID) -> PaymentIntent:
    """The intent as its last holder left it, locked until the transaction ends."""
    return PaymentIntent.objects.select_for_update(no_key=True).get(pk=intent_id)


def lock_refund(refund_id: uuid.UUID, intent_id: uuid.UUID) -> tuple[PaymentIntent, Refund]:
    """The refund and its intent, the intent locked first."""
    intent = lock_intent(intent_id)
    return intent, Refund.objects.select_for_update(no_key=True).get(pk=refund_id)


def lock_payout(payout_id: uuid.UUID) -> Payout:
    """The payout as its last holder left it, locked until the transaction ends."""
    return Payout.objects.select_for_update(no_key=True).get(pk=payout_id)


def lock_movement(model: type[M], subject_id: uuid.UUID) -> M | None:
    """The row, locked until the transaction ends, where there is one."""
    return model._default_manager.select_for_update(no_key=True).filter(pk=subject_id).first()


def lock_due(model: type[M], subject_id: uuid.UUID) -> M | None:
    """The row, locked until the transaction ends, where anything of it is due still."""
    rows = model._default_manager.select_for_update(no_key=True)
    return rows.filter(pk=subject_id, next_attempt_at__isnull=False).first()


def lock_key(caller_id: uuid.UUID, idempotency_key: str) -> None:
    """Let nobody else make an intent by the caller's key until the transaction ends; before all other
    locks."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"payments {caller_id} {idempotency_key}"],
        )
