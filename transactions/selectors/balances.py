"""What wallets hold, now and in the past, and what their owners may still spend."""

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from fintech_core.calls import call
from fintech_core.money import format_amount
from transactions.limits import Spending, limits_of
from transactions.models import Transaction
from users.models import User
from wallet.models import Hold, HoldStatus, Wallet
from wallet.selectors import get_primary_wallet, wallets_as_they_are

# A balance lists so many of its holds at most, those that run out first.
MOST_HOLDS = 200


@dataclass(frozen=True, slots=True)
class OpenHold:
    """What of a hold is still held, and for whom."""

    id: uuid.UUID
    amount: Decimal
    fee: Decimal
    to_wallet_id: uuid.UUID
    to_user_email: str | None
    created_at: datetime.datetime
    expires_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet's money at one moment, and the sequence of the last entry it counts."""

    currency: str
    balance: Decimal
    held: Decimal
    as_of_sequence: int
    holds: Sequence[OpenHold] = ()


@dataclass(frozen=True, slots=True)
class PastBalance:
    """A wallet's money as it was at a past moment; what was held of it then is not told."""

    currency: str
    balance: Decimal
    as_of_sequence: int


def get_past_balance(wallet: Wallet, at: datetime.datetime) -> PastBalance:
    """The balance after all that was posted up to and including a past moment: for ever the same."""
    sequence, balance = last_entry_before(wallet, at + datetime.timedelta(microseconds=1))
    return PastBalance(wallet.currency, balance, sequence)


def last_entry_before(wallet: Wallet, moment: datetime.datetime) -> tuple[int, Decimal]:
    """Sequence and balance of the wallet's last entry before a moment; zeros where there is none.

    Costs the same however many entries came later (transactions/sql/history.sql).
    """
    [(sequence, balance)] = call("last_entry_before", wallet.pk, moment)
    return sequence, balance


@transaction.atomic(durable=True)
def get_balance(wallet_id: uuid.UUID) -> Balance:
    """The balance now, with the holds that are open; all in one snapshot, so that it adds up."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    wallet = wallets_as_they_are().get(pk=wallet_id)
    holds = Hold.objects.filter(
        wallet_id=wallet_id, status=HoldStatus.OPEN, expires_at__gt=wallet.read_at
    ).order_by("expires_at", "pk")[:MOST_HOLDS]
    by_id = {hold.pk: hold for hold in holds}
    parties = Transaction.objects.filter(pk__in=by_id).values_list(
        "pk", "to_wallet_id", "to_wallet__owner__email"
    )
    targets = {pk: (to_wallet, email) for pk, to_wallet, email in parties}
    return Balance(
        wallet.currency,
        wallet.balance,
        wallet.truly_held,
        wallet.last_sequence,
        [
            OpenHold(
                hold.pk,
                hold.amount - hold.captured_amount,
                hold.fee - hold.captured_fee,
                *targets[hold.pk],
                hold.created_at,
                hold.expires_at,
            )
            for hold in by_id.values()
        ],
    )


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
