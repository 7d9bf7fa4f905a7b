"""Bringing money onto the platform: a ledger posting against the provider's cash wallet."""

import hashlib

from fintech_core.money import Money
from transactions import services as transactions
from transactions.instructions import TransactionRecord
from users.models import User
from wallet.models import WalletKind
from wallet.selectors import get_primary_wallet
from wallet.services import open_platform_wallet


def record_deposit(
    *, provider: str, user: User, amount: Money, reference: str, description: str = ""
) -> TransactionRecord:
    """Credit the user with what the provider has received, once per provider and reference.

    Raises the ``Decline`` of a deposit that may not be credited (frozen wallet, largest balance).
    """
    source = open_platform_wallet(
        purpose=f"cash:{provider}", kind=WalletKind.CASH, currency=amount.currency
    )
    target = get_primary_wallet(user)
    told = f"deposit\n{provider}\n{reference}\n{target.pk}\n{amount}\n{amount.currency}"
    outcome = transactions.deposit(
        source=source,
        target=target,
        amount=amount,
        idempotency_key=f"deposit:{provider}:{reference}",
        fingerprint=hashlib.sha256(told.encode()).digest(),
        description=description,
    )
    if outcome.transaction.decline is not None:
        raise outcome.transaction.decline
    return outcome.transaction
