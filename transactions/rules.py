"""Whether money may move: pure decisions on what was read under the locks.

Each asks in the order that docs/api.md promises and raises the first refusal; none moves anything but
what an owner has spent.
"""

import datetime
from decimal import Decimal

from django.conf import settings

from fintech_core.money import Money
from transactions.accounts import Account, HoldRecord
from transactions.declines import (
    BalanceLimitExceeded,
    CaptureExceedsHold,
    CurrencyMismatch,
    HoldNotPending,
    InsufficientFunds,
    KycRequired,
    LimitExceeded,
    QuoteExpired,
    SelfTransfer,
    TooManyHolds,
    WalletClosed,
    WalletFrozen,
)
from transactions.models import SHOWN_STATUS
from wallet.models import HoldStatus, Wallet, WalletStatus


def decide_transfer(
    *, source: Account, target: Account, amount: Money, fee: Decimal, today: datetime.date
) -> None:
    """Let the amount move from source to target, or raise the first refusal that applies.

    Order: wallet state, currency, self, KYC, limits, funds, the target's room. After this the posting
    must succeed. What an owner moves between own wallets is not sent: it needs no identity check and
    counts for no limit.
    """
    require_open(source, target)
    _require_currency(amount, source, target)
    if source.id == target.id:
        raise SelfTransfer
    if source.owner_id != target.owner_id:
        if source.tier < 1:
            raise KycRequired
        _count_spending(source, amount, today)
    _require_funds(source, amount.amount + fee)
    # Last, so that nobody learns a balance by asking with money that is not there.
    require_room(target, amount.amount, source)
    if source.owner_id != target.owner_id:
        source.counter.spending = source.counter.spending.plus(amount.amount)


def decide_schedule(*, source: Account, target: Account, amount: Money) -> None:
    """Let a later transfer be planned, or refuse what could never succeed: in the order of a transfer,
    without what may be otherwise by then (states, limits, funds)."""
    _require_currency(amount, source, target)
    if source.id == target.id:
        raise SelfTransfer
    if source.owner_id != target.owner_id and source.tier < 1:
        raise KycRequired


def decide_deposit(*, source: Account | Wallet, target: Account, amount: Money) -> None:
    """Let money come in from a platform wallet: no limit but the target's largest balance."""
    require_open(source, target)
    _require_currency(amount, source, target)
    require_room(target, amount.amount, source)


def decide_reversal(*, source: Account, target: Account, amount: Money) -> None:
    """Let money go back where it came from: no limit of the payer's, but only what is there, which an
    overdraft is not."""
    require_open(source, target)
    if not source.is_platform and source.balance - source.held < amount.amount:
        raise InsufficientFunds
    require_room(target, amount.amount, source)


def decide_capture(
    *, hold: HoldRecord | None, shown: str, source: Account, target: Account, amount: Money
) -> HoldRecord:
    """Let a part of what is held go to its target: what it costs the payer was judged when it was held.

    Order: wallet state, the hold's state, what is left of it, the target's room. Returns the hold.
    """
    require_open(source, target)
    pending = require_pending(hold, shown)
    if amount.amount > pending.remaining:
        raise CaptureExceedsHold(
            remaining=str(Money(pending.remaining, pending.currency)), currency=pending.currency
        )
    require_room(target, amount.amount, source)
    return pending


def require_pending(hold: HoldRecord | None, shown: str) -> HoldRecord:
    """The hold is open. ``shown`` is the status of the transaction, which may never have been one."""
    if hold is None:
        raise HoldNotPending(hold_status=shown)
    if hold.status != HoldStatus.OPEN:
        raise HoldNotPending(hold_status=SHOWN_STATUS[hold.status].value)
    return hold


def decide_conversion(
    *, source: Account, target: Account, amount: Decimal, to_amount: Decimal, is_expired: bool
) -> None:
    """Let an owner change ``amount``, its fee included, into ``to_amount`` of another currency.

    Nothing is sent, so no identity check is needed and no limit counts but the largest balance of what
    is bought. Order: wallet state, currency, the quote, funds, room.
    """
    require_open(source, target)
    if source.currency == target.currency:
        raise CurrencyMismatch
    if is_expired:
        raise QuoteExpired
    _require_funds(source, amount)
    require_room(target, to_amount)


def require_open(*accounts: Account | Wallet) -> None:
    """Neither frozen nor closed."""
    for account in accounts:
        if account.status == WalletStatus.FROZEN:
            raise WalletFrozen
        if account.status == WalletStatus.CLOSED:
            raise WalletClosed


def require_room_for_hold(source: Account) -> None:
    """One more hold may be opened: whoever moves money next ends all that ran out by then."""
    if source.open_holds >= settings.HOLDS_PER_WALLET:
        raise TooManyHolds(limit=settings.HOLDS_PER_WALLET)


def _require_currency(amount: Money, *accounts: Account | Wallet) -> None:
    for account in accounts:
        if account.currency != amount.currency:
            raise CurrencyMismatch


def _count_spending(source: Account, amount: Money, today: datetime.date) -> None:
    """The day's and the month's limits allow the amount."""
    source.counter.spending = source.counter.spending.at(today)
    limits = source.limits
    for name, remaining in source.counter.spending.remaining(limits).items():
        if amount.amount > remaining:
            raise LimitExceeded(
                limit=name,
                limit_amount=str(Money(getattr(limits, name), source.currency)),
                remaining=str(Money(remaining, source.currency)),
                currency=source.currency,
            )


def _require_funds(source: Account, amount: Decimal) -> None:
    if not source.is_platform and source.available < amount:
        raise InsufficientFunds


def require_room(target: Account, amount: Decimal, source: Account | Wallet | None = None) -> None:
    """All wallets of the target's owner in this currency together stay within the largest balance."""
    if target.is_platform or (source is not None and source.owner_id == target.owner_id):
        return
    if target.counter.total + amount > target.limits.largest_balance:
        raise BalanceLimitExceeded
