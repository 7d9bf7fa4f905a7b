"""Whether a transfer may happen: pure decisions on what was read under the locks.

``decide_transfer`` asks in the order that docs/api.md promises and raises the first refusal.
"""

import datetime
import uuid
from dataclasses import dataclass
from decimal import Decimal

from fintech_core.money import Money
from transactions.declines import (
    BalanceLimitExceeded,
    CurrencyMismatch,
    InsufficientFunds,
    KycRequired,
    LimitExceeded,
    SelfTransfer,
    WalletClosed,
    WalletFrozen,
)
from transactions.limits import Limits, Spending, limits_of
from wallet.models import WalletStatus


@dataclass(slots=True)
class Account:
    """A locked wallet while a batch is decided: each decision sees what the ones before it left."""

    wallet_id: uuid.UUID
    owner_id: uuid.UUID | None
    currency: str
    status: str
    balance: Decimal
    held: Decimal
    spending: Spending
    tier: int
    is_platform: bool

    @property
    def available(self) -> Decimal:
        return self.balance - self.held

    @property
    def limits(self) -> Limits:
        return limits_of(self.tier, self.currency)


def decide_transfer(
    *, source: Account, target: Account, amount: Money, today: datetime.date
) -> None:
    """Let the amount move from source to target, or raise the first refusal that applies.

    Order: wallet state, currency, self, KYC, limits, funds, the target's room. After this the posting
    must succeed. Moves the accounts, so that the next decision of a batch sees it.
    """
    _require_open(source, target)
    if not source.currency == target.currency == amount.currency:
        raise CurrencyMismatch
    if source.owner_id == target.owner_id:
        raise SelfTransfer
    if source.tier < 1:
        raise KycRequired
    source.spending = source.spending.at(today)
    _require_limits(source, amount)
    if source.available < amount.amount:
        raise InsufficientFunds
    # Last, so that nobody learns a balance by asking with money that is not there.
    _require_room(target, amount)
    source.spending = source.spending.plus(amount.amount)
    source.balance -= amount.amount
    target.balance += amount.amount


def decide_deposit(*, source: Account, target: Account, amount: Money) -> None:
    """Let money come in from a platform wallet: no limit but the target's largest balance."""
    _require_open(source, target)
    if not source.currency == target.currency == amount.currency:
        raise CurrencyMismatch
    _require_room(target, amount)
    source.balance -= amount.amount
    target.balance += amount.amount


def _require_open(*accounts: Account) -> None:
    for account in accounts:
        if account.status == WalletStatus.FROZEN:
            raise WalletFrozen
        if account.status == WalletStatus.CLOSED:
            raise WalletClosed


def _require_limits(source: Account, amount: Money) -> None:
    limits = source.limits
    for name, remaining in source.spending.remaining(limits).items():
        if amount.amount > remaining:
            raise LimitExceeded(
                limit=name,
                limit_amount=str(_money(source, getattr(limits, name))),
                remaining=str(_money(source, remaining)),
                currency=source.currency,
            )


def _money(account: Account, amount: Decimal) -> Money:
    """The amount in the account's currency."""
    return Money(amount, account.currency)


def _require_room(target: Account, amount: Money) -> None:
    if not target.is_platform and target.balance + amount.amount > target.limits.largest_balance:
        raise BalanceLimitExceeded
