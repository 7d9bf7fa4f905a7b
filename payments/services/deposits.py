"""Bringing money onto the platform: a ledger posting against the provider's cash wallet."""

import hashlib

from fintech_core.money import Money
from payments.services.accounts import cash_wallet_id
from transactions import services as transactions
from transactions.instructions import Request, TransactionRecord
from users.models import User
from wallet.selectors import get_primary_wallet


def record_deposit(
    *, provider: str, user: User, amount: Money, reference: str, description: str = ""
) -> TransactionRecord:
    """Credit the user with what the provider has received, once per provider and reference.

    Raises the ``Decline`` of a deposit that may not be credited (frozen wallet, largest balance).
    """
    source_id = cash_wallet_id(provider, amount.currency)
    target = get_primary_wallet(user)
    told = f"deposit\n{provider}\n{reference}\n{target.pk}\n{amount}\n{amount.currency}"
    request = Request(
        caller_id=None,
        idempotency_key=f"deposit:{provider}:{reference}",
        fingerprint=hashlib.sha256(told.encode()).digest(),
    )
    outcome = transactions.deposit(
        source_id=source_id,
        target_id=target.pk,
        amount=amount,
        request=request,
        description=description,
    )
    if outcome.transaction.decline is not None:
        raise outcome.transaction.decline
    return outcome.transaction
