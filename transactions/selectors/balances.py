"""What wallets hold, now and in the past, and what their owners may still spend."""

import datetime
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fintech_core.money import format_amount
from transactions.limits import Spending, limits_of
from transactions.models import LedgerEntry
from users.models import User
from wallet.models import Wallet
from wallet.selectors import get_primary_wallet


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet's money at one moment, and the sequence of the last entry it counts."""

    currency: str
    balance: Decimal
    held: Decimal
    as_of_sequence: int


def get_balance(wallet: Wallet, *, at: datetime.datetime | None = None) -> Balance:
    """The balance now, or as it was at a past moment (what was posted up to and including it)."""
    if at is None:
        return Balance(wallet.currency, wallet.balance, wallet.held, wallet.last_sequence)
    last = (
        LedgerEntry.objects.filter(wallet_id=wallet.pk, created_at__lte=at)
        .order_by("-sequence")
        .first()
    )
    if last is None:
        return Balance(wallet.currency, Decimal(0), Decimal(0), 0)
    return Balance(wallet.currency, last.balance_after, Decimal(0), last.sequence)


def get_limits(user: User) -> dict[str, Any]:
    """The limits of the user's tier in the primary wallet's currency, and what remains of them."""
    wallet = get_primary_wallet(user)
    now = datetime.datetime.now(datetime.UTC)
    limits = limits_of(user.kyc_tier_at(now), wallet.currency)
    today = now.date()
    spending = Spending(wallet.spent_on, wallet.spent_in_day, wallet.spent_in_month).at(today)

    def text(amount: Decimal) -> str:
        return format_amount(amount, wallet.currency)

    return {
        "currency": wallet.currency,
        "per_transfer": text(limits.per_transfer),
        "per_day": text(limits.per_day),
        "per_month": text(limits.per_month),
        "largest_balance": text(limits.largest_balance),
        "remaining": {name: text(left) for name, left in spending.remaining(limits).items()},
    }
