"""Reading transactions and entries. Nothing here locks or writes."""

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from fintech_core.database import call
from fintech_core.exceptions import NotFound
from fintech_core.money import format_amount
from transactions.instructions import TransactionRecord
from transactions.limits import Spending, limits_of
from transactions.models import LedgerEntry, Transaction, TransactionStatus
from users.models import User
from wallet.models import Wallet
from wallet.selectors import get_primary_wallet, get_wallet_of


def records_by_key(
    transaction_ids: Sequence[uuid.UUID],
) -> dict[tuple[uuid.UUID | None, str], TransactionRecord]:
    """These transactions by (caller, idempotency key)."""
    if not transaction_ids:
        return {}
    found = records_of(list(transactions_with_parties().filter(pk__in=transaction_ids)))
    return {(record.initiated_by_id, record.idempotency_key): record for record in found}


def is_recorded(transaction_id: uuid.UUID) -> bool:
    """Whether the transaction is in the database: an answer kept elsewhere is only as good as that."""
    return Transaction.objects.filter(pk=transaction_id).exists()


def transactions_with_parties() -> QuerySet[Transaction]:
    """Transactions with the email addresses of both wallets' owners."""
    return Transaction.objects.annotate(
        from_user_email=F("from_wallet__owner__email"), to_user_email=F("to_wallet__owner__email")
    )


def records_of(rows: Sequence[Any]) -> list[TransactionRecord]:
    """Plain records of the rows of ``transactions_with_parties()``, with their balances after."""
    balances: dict[uuid.UUID, dict[uuid.UUID, Decimal]] = {row.pk: {} for row in rows}
    if rows:
        entries = LedgerEntry.objects.filter(transaction_id__in=list(balances))
        for entry in entries.values_list("transaction_id", "wallet_id", "balance_after"):
            balances[entry[0]][entry[1]] = entry[2]
    return [
        TransactionRecord(
            id=row.pk,
            kind=row.kind,
            status=row.status,
            amount=row.amount,
            currency=row.currency,
            from_wallet_id=row.from_wallet_id,
            to_wallet_id=row.to_wallet_id,
            initiated_by_id=row.initiated_by_id,
            idempotency_key=row.idempotency_key,
            fingerprint=bytes(row.fingerprint),
            description=row.description,
            metadata=row.metadata,
            decline_code=row.decline_code,
            facts=row.facts,
            fee=row.amount * 0 + row.fee,
            to_amount=row.to_amount,
            to_currency=row.to_currency,
            parent_id=row.parent_id,
            request_id=row.request_id,
            client_address=row.client_address,
            created_at=row.created_at,
            from_user_email=row.from_user_email,
            to_user_email=row.to_user_email,
            balances_after=balances[row.pk],
        )
        for row in rows
    ]


def list_transactions_of(
    user: User, *, wallet_id: uuid.UUID | None = None
) -> QuerySet[Transaction]:
    """What the user sent and received. A transfer to the user that was declined is the payer's alone."""
    own = [get_wallet_of(user, wallet_id).pk] if wallet_id else [get_primary_wallet(user).pk]
    return transactions_with_parties().filter(
        Q(from_wallet_id__in=own) | Q(to_wallet_id__in=own) & ~Q(status=TransactionStatus.DECLINED)
    )


def get_transaction_of(user: User, transaction_id: uuid.UUID) -> TransactionRecord:
    """One transaction by either side. Raises ``NotFound`` for anybody else."""
    row = list_transactions_of(user).filter(pk=transaction_id).first()
    if row is None:
        raise NotFound
    return records_of([row])[0]


def list_entries_of(wallet: Wallet) -> QuerySet[LedgerEntry]:
    """The wallet's entries, with their transaction and its parties."""
    return LedgerEntry.objects.filter(wallet_id=wallet.pk).select_related(
        "transaction__from_wallet__owner", "transaction__to_wallet__owner"
    )


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


def list_violations() -> list[tuple[str, str]]:
    """Every (invariant, subject) that does not hold, seen at one moment; empty when the books agree."""
    return [(invariant, subject) for invariant, subject in call("ledger_violations")]


def check_books() -> list[tuple[str, str]]:
    """``list_violations()`` over a ledger of any size: it may take three minutes."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '180s'")
        return list_violations()
