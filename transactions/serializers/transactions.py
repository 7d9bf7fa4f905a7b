"""Transactions and entries as the API shows and takes them."""

import datetime
import functools
import uuid
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from fintech_core.fields import uuid_text
from fintech_core.money import format_amount
from fintech_core.problems import problem_of
from fintech_core.serializers import UTCDateTimeField, format_time
from transactions.idempotency import Answer
from transactions.instructions import HoldOutcome, Outcome, TransactionRecord
from transactions.models import LedgerEntry, TransactionKind, TransactionStatus, reference_of


class TransactionSerializer(serializers.Serializer[TransactionRecord]):
    """A movement of money, or the recorded refusal of one, as one of its sides sees it."""

    id = serializers.UUIDField()
    reference = serializers.CharField()
    kind = serializers.ChoiceField(TransactionKind.choices)
    status = serializers.ChoiceField(TransactionStatus.choices)
    amount = serializers.CharField()
    currency = serializers.CharField()
    from_wallet = serializers.UUIDField()
    to_wallet = serializers.UUIDField()
    from_user_email = serializers.EmailField(allow_null=True)
    to_user_email = serializers.EmailField(allow_null=True)
    fee = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    metadata = serializers.DictField(child=serializers.CharField())
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment] # a member's name
    captured_amount = serializers.CharField()
    reversed_amount = serializers.CharField()
    decline_code = serializers.CharField(allow_null=True)
    created_at = UTCDateTimeField()
    posted_at = UTCDateTimeField(allow_null=True)
    expires_at = UTCDateTimeField(allow_null=True)
    balance_after = serializers.CharField(allow_null=True)
    to_amount = serializers.CharField(required=False, help_text="What a conversion brings.")
    to_currency = serializers.CharField(required=False)
    rate = serializers.CharField(required=False, allow_null=True)


class EntrySerializer(serializers.Serializer[LedgerEntry]):
    """What a transaction added to a wallet, and the balance after it."""

    sequence = serializers.IntegerField()
    transaction = serializers.UUIDField()
    kind = serializers.ChoiceField(TransactionKind.choices)
    amount = serializers.CharField(help_text="Signed: negative is what left the wallet.")
    balance_after = serializers.CharField()
    counterparty = serializers.EmailField(allow_null=True)
    description = serializers.CharField(allow_blank=True)
    created_at = UTCDateTimeField()


class TransactionListSerializer(serializers.Serializer[Any]):
    """What became of several transactions, in the order in which they were named."""

    results = TransactionSerializer(many=True)


class TransactionDetailSerializer(TransactionSerializer):
    """A transaction with the caller's own entries."""

    entries = EntrySerializer(many=True)


def represent_transaction(
    record: TransactionRecord, *, own_wallets: Collection[uuid.UUID]
) -> dict[str, Any]:
    """The transaction as one of its sides may see it: never the other side's balance.

    What it tells beyond its row is in ``record.facts``: as it was first told, or as it is now
    (``selectors.current_records_of``). Where both wallets are the caller's, ``balance_after`` is the
    source's.
    """
    told = (record.facts or {}) if record.status != TransactionStatus.DECLINED else {}
    nothing = _nothing(record.currency)
    created_at = _time_of_commit(record.created_at)
    posted_at = created_at if record.status == TransactionStatus.POSTED else None
    return {
        "id": uuid_text(record.id),
        "reference": reference_of(record.id),
        "kind": str(record.kind),
        "status": told.get("status", str(record.status)),
        "amount": format_amount(record.amount, record.currency),
        "currency": record.currency,
        "from_wallet": uuid_text(record.from_wallet_id),
        "to_wallet": uuid_text(record.to_wallet_id),
        "from_user_email": record.from_user_email,
        "to_user_email": record.to_user_email,
        "fee": told.get("fee") or _amount_or_nothing(record.fee, record.currency),
        **_exchange_of(record),
        "parent": str(record.parent_id) if record.parent_id else None,
        "captured_amount": told.get("captured_amount", nothing),
        "reversed_amount": told.get("reversed_amount", nothing),
        "expires_at": _time_told(told.get("expires_at")),
        "description": record.description,
        "metadata": dict(sorted(record.metadata.items())),
        "decline_code": record.decline_code or None,
        "created_at": created_at,
        "posted_at": _time_told(told.get("posted_at")) or posted_at,
        "balance_after": _balance_after(record, own_wallets),
    }


# All that one commit makes has the same time.
_time_of_commit = functools.lru_cache(maxsize=256)(format_time)


@functools.cache
def _nothing(currency: str) -> str:
    return format_amount(Decimal(0), currency)


def _amount_or_nothing(amount: Decimal, currency: str) -> str:
    return format_amount(amount, currency) if amount else _nothing(currency)


def _balance_after(record: TransactionRecord, own_wallets: Collection[uuid.UUID]) -> str | None:
    """Of the caller's own wallet, never of the other side's; between two own ones, of the source."""
    sides = (
        (record.from_wallet_id, record.currency),
        (record.to_wallet_id, record.to_currency or record.currency),
    )
    for wallet_id, currency in sides:
        if wallet_id in own_wallets:
            balance = record.balances_after.get(wallet_id)
            return None if balance is None else format_amount(balance, currency)
    return None


def _time_told(text: str | None) -> str | None:
    return format_time(datetime.datetime.fromisoformat(text)) if text else None


def _exchange_of(record: TransactionRecord) -> dict[str, Any]:
    """What a conversion brings, and at which rate; of any other transaction nothing."""
    if record.to_amount is None:
        return {}
    return {
        "to_amount": format_amount(record.to_amount, record.to_currency),
        "to_currency": record.to_currency,
        "rate": (record.facts or {}).get("rate"),
    }


def answer_of(outcome: Outcome, *, own_wallets: Sequence[uuid.UUID] | None = None) -> Answer:
    """The answer to a money operation, the same for the first request and for every retry.

    Made from what is stored and never changes: 201 with the transaction, or the decline's problem
    details under the request id of the request that was declined. ``own_wallets`` are the caller's;
    where they are not given, it is the source that is.
    """
    record = outcome.transaction
    own = [record.from_wallet_id] if own_wallets is None else own_wallets
    return _refusal_of(record) or Answer(
        201, represent_transaction(record, own_wallets=own), record.id
    )


def answer_of_hold(outcome: HoldOutcome, *, own_wallets: Sequence[uuid.UUID]) -> Answer:
    """The answer to a capture or void: 200 with the hold as it was after that, or the decline."""
    return _refusal_of(outcome.act) or Answer(
        200, represent_transaction(outcome.hold, own_wallets=own_wallets), outcome.act.id
    )


def answer_of_holds(outcomes: Sequence[HoldOutcome], *, own_wallets: Sequence[uuid.UUID]) -> Answer:
    """The same for a group: 200 with each hold in order, or the decline that stopped all of them."""
    first = outcomes[0].act
    if refusal := _refusal_of(first):
        return refusal
    results = [represent_transaction(each.hold, own_wallets=own_wallets) for each in outcomes]
    return Answer(200, {"results": results}, first.id)


def _refusal_of(record: TransactionRecord) -> Answer | None:
    decline = record.decline
    if decline is None:
        return None
    # What comes back from the database comes in another order.
    decline.facts = dict(sorted(decline.facts.items()))
    body = problem_of(decline, request_id=record.request_id)
    return Answer(decline.status, {**body, "transaction": str(record.id)}, record.id)


def represent_entries(entries: Sequence[LedgerEntry]) -> list[dict[str, Any]]:
    """Entries as the owner of their wallet sees them."""
    return [_represent_entry(entry) for entry in entries]


def _represent_entry(entry: LedgerEntry) -> dict[str, Any]:
    transaction = entry.transaction
    is_source = entry.wallet_id == transaction.from_wallet_id
    other = (transaction.to_wallet if is_source else transaction.from_wallet).owner
    return {
        "sequence": entry.sequence,
        "transaction": str(transaction.pk),
        "kind": transaction.kind,
        "amount": format_amount(entry.amount, entry.currency),
        "balance_after": format_amount(entry.balance_after, entry.currency),
        "counterparty": other.email if other else None,
        "description": transaction.description,
        "created_at": format_time(entry.created_at),
    }
