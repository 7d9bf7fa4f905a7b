"""Idempotency keys that more than one kind of request may use."""

from payments.locks import lock_key
from payments.models import PaymentIntent
from transactions.declines import IdempotencyKeyReused
from transactions.instructions import Request
from transactions.models import Transaction, TransactionKind
from wallet.models import Wallet


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


def wallet_of_key(request: Request, kind: TransactionKind) -> Wallet | None:
    """The wallet of the caller's that the key was used for already, for a transaction of that kind:
    a retry is about the same one, whatever has become of it. ``IdempotencyKeyReused`` for another
    kind."""
    known = (
        Transaction.objects.filter(
            initiated_by_id=request.caller_id, idempotency_key=request.idempotency_key
        )
        .select_related("from_wallet", "to_wallet")
        .first()
    )
    if known is None:
        return None
    if known.kind != kind or bytes(known.fingerprint) != request.fingerprint:
        raise IdempotencyKeyReused
    return known.to_wallet if kind == TransactionKind.DEPOSIT else known.from_wallet
