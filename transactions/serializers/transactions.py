"""Transactions and entries as the API shows and takes them."""

import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from fintech_core.money import format_amount
from fintech_core.problems import problem_of
from fintech_core.serializers import UTCDateTimeField, format_time
from transactions.idempotency import Answer
from transactions.instructions import Outcome, TransactionRecord
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


class TransactionDetailSerializer(TransactionSerializer):
    """A transaction with the caller's own entries."""

    entries = EntrySerializer(many=True)


def represent_transaction(
    record: TransactionRecord, *, own_wallets: Sequence[uuid.UUID]
) -> dict[str, Any]:
    """The transaction as one of its sides may see it: never the other side's balance."""
    balance = next(
        (record.balances_after[pk] for pk in own_wallets if pk in record.balances_after), None
    )

    def text(amount: Decimal) -> str:
        return format_amount(amount, record.currency)

    created_at = format_time(record.created_at)
    return {
        "id": str(record.id),
        "reference": reference_of(record.id),
        "kind": str(record.kind),
        "status": str(record.status),
        "amount": text(record.amount),
        "currency": record.currency,
        "from_wallet": str(record.from_wallet_id),
        "to_wallet": str(record.to_wallet_id),
        "from_user_email": record.from_user_email,
        "to_user_email": record.to_user_email,
        # No transaction has a fee, a parent, a capture, a reversal or an expiry yet; the members are here
        # because clients are promised them.
        "fee": text(Decimal(0)),
        "parent": None,
        "captured_amount": text(Decimal(0)),
        "reversed_amount": text(Decimal(0)),
        "expires_at": None,
        "description": record.description,
        "metadata": record.metadata,
        "decline_code": record.decline_code or None,
        "created_at": created_at,
        "posted_at": created_at if record.status == TransactionStatus.POSTED else None,
        "balance_after": None if balance is None else text(balance),
    }


def answer_of(outcome: Outcome) -> Answer:
    """The answer to a money operation, the same for the first request and for every retry.

    Made from what is stored and never changes: 201 with the transaction, or the decline's problem
    details under the request id of the request that was declined.
    """
    record = outcome.transaction
    decline = record.decline
    if decline is not None:
        body = problem_of(decline, request_id=record.request_id)
        return Answer(decline.status, {**body, "transaction": str(record.id)}, record.id)
    body = represent_transaction(record, own_wallets=[record.from_wallet_id])
    return Answer(201, body, record.id)


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
