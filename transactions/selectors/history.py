"""Reading transactions and entries. Nothing here locks or writes."""

import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, QuerySet

from fintech_core.exceptions import NotFound
from transactions.instructions import TransactionRecord
from transactions.models import LedgerEntry, Transaction, TransactionStatus
from users.models import User
from wallet.selectors import get_wallet_of, list_wallets_of


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


def own_wallet_ids(user: User) -> list[uuid.UUID]:
    """The ids of all wallets of the user, closed ones too."""
    return list(list_wallets_of(user).values_list("pk", flat=True))


def list_transactions_of(
    user: User, *, wallet_id: uuid.UUID | None = None
) -> QuerySet[Transaction]:
    """What the user sent and received. A transfer to the user that was declined is the payer's alone."""
    own = [get_wallet_of(user, wallet_id).pk] if wallet_id else own_wallet_ids(user)
    return transactions_with_parties().filter(
        Q(from_wallet_id__in=own) | Q(to_wallet_id__in=own) & ~Q(status=TransactionStatus.DECLINED)
    )


def get_transaction_of(user: User, transaction_id: uuid.UUID) -> TransactionRecord:
    """One transaction by either side. Raises ``NotFound`` for anybody else."""
    row = list_transactions_of(user).filter(pk=transaction_id).first()
    if row is None:
        raise NotFound
    return records_of([row])[0]


def list_entries_of(*wallet_ids: uuid.UUID) -> QuerySet[LedgerEntry]:
    """The wallets' entries, with their transaction and its parties."""
    return LedgerEntry.objects.filter(wallet_id__in=wallet_ids).select_related(
        "transaction__from_wallet__owner", "transaction__to_wallet__owner"
    )
