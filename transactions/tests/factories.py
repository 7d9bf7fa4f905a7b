"""Users with money, and transfers between them."""

import uuid
from decimal import Decimal
from typing import Any

from fintech_core.money import Money
from payments.services import record_deposit
from transactions.instructions import Recipient, TransferInstruction
from users.models import KycStatus, User
from wallet.models import Wallet


def make_payer(balance: str = "100.00", *, tier: int = 2) -> User:
    """A user whose identity is approved and whose wallet holds the balance by a real deposit."""
    user = make_payee(tier=tier)
    if Decimal(balance):
        record_deposit(
            provider="test",
            user=user,
            amount=Money(Decimal(balance), "USD"),
            reference=str(uuid.uuid4()),
        )
    return user


def make_payee(*, tier: int = 2) -> User:
    """A user with an empty wallet and no password."""
    approved = KycStatus.APPROVED if tier else KycStatus.NOT_SUBMITTED
    return User.objects.create_user(
        f"{uuid.uuid4().hex}@example.com", kyc_status=approved, kyc_tier=tier
    )


def instruct(payer: User, payee: User, amount: str, **overrides: Any) -> TransferInstruction:
    """An instruction with a new key unless one is given; its fingerprint follows payee and amount."""
    values: dict[str, Any] = {
        "caller_id": payer.pk,
        "idempotency_key": uuid.uuid4().hex,
        "recipient": Recipient(email=payee.email),
        "amount": amount,
        **overrides,
    }
    values.setdefault("fingerprint", uuid.uuid5(payee.pk, str(values["amount"])).bytes * 2)
    return TransferInstruction(**values)


def wallet_of(user: User) -> Wallet:
    """The user's primary wallet as it is in the database now."""
    return Wallet.objects.get(user=user)


def balance_of(user: User) -> str:
    """The user's balance as the API writes it."""
    wallet = wallet_of(user)
    return str(wallet.money(wallet.balance))
