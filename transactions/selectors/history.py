"""Reading transactions and entries. Nothing here locks or writes."""

import uuid
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from fintech_core.exceptions import NotFound
from transactions.instructions import TransactionRecord
from transactions.models import LedgerEntry, Transaction, TransactionStatus
from transactions.selectors.holds import current_facts
from users.models import User
from wallet.models import Hold, HoldStatus, Wallet
from wallet.selectors import get_wallet_of, wallet_ids_of


def records_by_key(
    transaction_ids: Sequence[uuid.UUID],
) -> dict[tuple[uuid.UUID | None, str], TransactionRecord]:
    """These transactions by (caller, idempotency key)."""
    if not transaction_ids:
        return {}
    found = records_of(list(transactions_with_parties().filter(pk__in=transaction_ids)))
    return {(record.initiated_by_id, record.idempotency_key): record for record in found}


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


def current_records_of(rows: Sequence[Any]) -> list[TransactionRecord]:
    """Records that tell what is true now: what became of holds, what was reversed."""
    facts = current_facts(rows)
    records = records_of(rows)
    for record in records:
        if record.status != TransactionStatus.DECLINED:
            record.facts = {**(record.facts or {}), **facts[record.id]}
    return records


def transactions_by_id(transaction_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Any]:
    """These rows of ``transactions_with_parties()``, with both wallets; what is not there is left out."""
    rows = transactions_with_parties().select_related("from_wallet", "to_wallet")
    return rows.in_bulk(list(transaction_ids))


def list_transactions_of(
    user: User, *, wallet_id: uuid.UUID | None = None, status: str | None = None
) -> QuerySet[Transaction]:
    """What the user, or one own wallet, sent and received.

    What was declined is shown to who asked for it, and to nobody else. What ended a hold without moving
    money is no line of its own: it shows in the hold. ``status`` is that which is shown.
    """
    own = [get_wallet_of(user, wallet_id).pk] if wallet_id else wallet_ids_of(user)
    rows = transactions_with_parties().filter(
        Q(from_wallet_id__in=own) | Q(to_wallet_id__in=own),
        ~Q(status=TransactionStatus.DECLINED) | Q(initiated_by_id=user.pk),
        status__in=_LISTED,
    )
    return rows if status is None else _with_shown_status(rows, status)


_LISTED = (TransactionStatus.POSTED, TransactionStatus.PENDING, TransactionStatus.DECLINED)


def _with_shown_status(rows: QuerySet[Transaction], status: str) -> QuerySet[Transaction]:
    """Those that are shown with the status now; each hold is looked up by its key."""
    if status == TransactionStatus.DECLINED:
        return rows.filter(status=status)
    running = Q(status=HoldStatus.OPEN, expires_at__gt=Now())
    overdue = Q(status=HoldStatus.OPEN, expires_at__lte=Now())
    became = {
        TransactionStatus.POSTED: Q(status=HoldStatus.CAPTURED),
        TransactionStatus.PENDING: running,
        TransactionStatus.VOIDED: Q(status=HoldStatus.VOIDED),
        TransactionStatus.EXPIRED: Q(status=HoldStatus.EXPIRED) | overdue,
    }[TransactionStatus(status)]
    held = Q(status=TransactionStatus.PENDING) & Exists(
        Hold.objects.filter(became, pk=OuterRef("pk"))
    )
    if status == TransactionStatus.POSTED:
        return rows.filter(Q(status=TransactionStatus.POSTED) | held)
    return rows.filter(held)


def get_transaction_of(user: User, transaction_id: uuid.UUID) -> TransactionRecord:
    """One transaction by either side, as it is now. Raises ``NotFound`` for anybody else."""
    row = list_transactions_of(user).filter(pk=transaction_id).first()
    if row is None:
        raise NotFound
    return current_records_of([row])[0]


def list_entries_of(wallet: Wallet) -> QuerySet[LedgerEntry]:
    """The wallet's entries, with their transaction and its parties."""
    return _entries_with_parties().filter(wallet_id=wallet.pk)


def entries_of_transaction(
    transaction_id: uuid.UUID, *, wallet_ids: Sequence[uuid.UUID]
) -> QuerySet[LedgerEntry]:
    """What the transaction did to these wallets."""
    return _entries_with_parties().filter(transaction_id=transaction_id, wallet_id__in=wallet_ids)


def _entries_with_parties() -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.select_related(
        "transaction__from_wallet__owner", "transaction__to_wallet__owner"
    )
