"""Idempotency keys that more than one kind of request may use."""

from payments.locks import lock_key
from payments.models import PaymentIntent
from transactions.declines import IdempotencyKeyReused
from transactions.instructions import Request


def require_key_of_no_intent(request: Request) -> None:
    """The caller's key made no intent, and makes none until the transaction ends; else
    ``IdempotencyKeyReused``. Other requests that use a key are known to the ledger."""
    if request.caller_id is None:
        return
    lock_key(request.caller_id, request.idempotency_key)
    made = PaymentIntent.objects.filter(
        user_id=request.caller_id, idempotency_key=request.idempotency_key
    )
    if made.exists():
        raise IdempotencyKeyReused
