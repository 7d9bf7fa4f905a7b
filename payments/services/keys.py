"""Idempotency keys that more than one kind of request may use."""

from transactions.declines import IdempotencyKeyReused
from transactions.instructions import Request
from transactions.models import Transaction, TransactionKind
from wallet.models import Wallet


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
