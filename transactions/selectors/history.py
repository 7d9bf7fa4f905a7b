"""Reading transactions and entries. Nothing here locks or writes."""

import datetime
import uuid
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import F, QuerySet

from fintech_core.exceptions import NotFound
from transactions.instructions import TransactionRecord
from transactions.models import LedgerEntry, Transaction, TransactionStatus
from transactions.selectors.balances import last_entry_before
from transactions.selectors.holds import current_facts
from users.models import User
from wallet.models import Wallet
from wallet.selectors import wallet_ids_of


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


def get_transaction_of(user: User, transaction_id: uuid.UUID) -> TransactionRecord:
    """One transaction by either side, as it is now. Raises ``NotFound`` for anybody else."""
    row = transactions_with_parties().filter(pk=transaction_id).first()
    if row is None or not may_see(row, user):
        raise NotFound
    return current_records_of([row])[0]


def may_see(row: Transaction, user: User) -> bool:
    """Whether the user is a side of it. A decline is shown to who asked for it, and to nobody else; what
    ended a hold without moving money shows in the hold."""
    if row.status in {TransactionStatus.VOIDED, TransactionStatus.EXPIRED}:
        return False
    if row.status == TransactionStatus.DECLINED and row.initiated_by_id != user.pk:
        return False
    return not {row.from_wallet_id, row.to_wallet_id}.isdisjoint(wallet_ids_of(user))


def list_entries_of(
    wallet: Wallet,
    *,
    since: datetime.datetime | None = None,
    before: datetime.datetime | None = None,
) -> QuerySet[LedgerEntry]:
    """The wallet's entries of a span of time, with their transaction and its parties."""
    entries = _entries_with_parties().filter(wallet_id=wallet.pk)
    # Times never go back along a wallet's sequence: a span of time is one of sequences.
    if since is not None:
        entries = entries.filter(sequence__gt=last_entry_before(wallet, since)[0])
    if before is not None:
        entries = entries.filter(sequence__lte=last_entry_before(wallet, before)[0])
    return entries


def entries_of_transaction(
    transaction_id: uuid.UUID, *, wallet_ids: Collection[uuid.UUID]
) -> QuerySet[LedgerEntry]:
    """What the transaction did to these wallets."""
    entries = _entries_with_parties().filter(transaction_id=transaction_id, wallet__in=wallet_ids)
    return entries.order_by("leg")


def _entries_with_parties() -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.select_related(
        "transaction__from_wallet__owner", "transaction__to_wallet__owner"
    )
