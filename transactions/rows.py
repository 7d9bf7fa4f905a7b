"""What ``post_ledger()`` takes: rows of its types ``posted_…``, in PostgreSQL's binary format.

Amounts are texts in them, which PostgreSQL makes numbers of, whatever blanks they begin with: to write
their digits in its binary form would take Python longer than all else of a row.
"""

from decimal import Decimal

import orjson

from fintech_core.binary import (
    NULL,
    date,
    int2,
    int8,
    jsonb,
    row_format,
    sized,
    text,
    timestamptz,
)
from transactions.accounts import Account
from transactions.instructions import TransactionRecord

# Wide enough for fifteen digits, the places of any currency, a point and a sign.
_AMOUNT = "text:24"
_TRANSACTION = row_format(
    *("uuid:16", "text", "text", _AMOUNT, "text:3", _AMOUNT, "text", "text"),
    *("uuid:16", "uuid:16", "uuid", "uuid", "text", "bytea:32", "text", "jsonb", "text", "jsonb"),
    *("text", "text", "timestamptz:8"),
)
_ENTRY = row_format(
    *("uuid:16", "int2:2", "uuid:16", "int8:8", _AMOUNT, "text:3", _AMOUNT),
    *("bytea", "bytea:32", "timestamptz:8"),
)
_WALLET = row_format(
    *("uuid:16", _AMOUNT, _AMOUNT, "int8:8", "bytea", "timestamptz", "date", "text", "text")
)
_NOT_COUNTED = (NULL, NULL, NULL)


def transaction_row(record: TransactionRecord) -> bytes:
    """A row of ``posted_transaction``; what is NULL is that column's empty value."""
    return _TRANSACTION % (
        record.id.bytes,
        text(record.kind),
        text(record.status),
        str(record.amount).encode(),
        record.currency.encode(),
        str(record.fee).encode(),
        NULL if record.to_amount is None else text(str(record.to_amount)),
        text(record.to_currency) if record.to_currency else NULL,
        record.from_wallet_id.bytes,
        record.to_wallet_id.bytes,
        sized(record.parent_id.bytes) if record.parent_id else NULL,
        sized(record.initiated_by_id.bytes) if record.initiated_by_id else NULL,
        text(record.idempotency_key),
        record.fingerprint,
        text(record.description) if record.description else NULL,
        jsonb(orjson.dumps(record.metadata)) if record.metadata else NULL,
        text(record.decline_code) if record.decline_code else NULL,
        jsonb(orjson.dumps(record.facts)) if record.facts else NULL,
        text(record.request_id) if record.request_id else NULL,
        text(record.client_address) if record.client_address else NULL,
        timestamptz(record.created_at),
    )


def entry_row(
    record: TransactionRecord, leg: int, account: Account, amount: Decimal, previous: bytes
) -> bytes:
    """A row of ``posted_entry``: what a leg of the transaction has just made of the account."""
    return _ENTRY % (
        record.id.bytes,
        int2(leg),
        account.id.bytes,
        int8(account.sequence),
        str(amount).encode(),
        account.currency.encode(),
        str(account.balance).encode(),
        sized(previous),
        account.head_hash,
        timestamptz(record.created_at),
    )


def wallet_row(account: Account) -> bytes:
    """A row of ``posted_wallet``: the wallet as it is afterwards, with what was spent where that is
    counted in its own row."""
    spent = _NOT_COUNTED
    if account.counter.wallet_id == account.id:
        on, in_day, in_month = account.counter.spending
        spent = (sized(date(on)), text(str(in_day)), text(str(in_month)))
    return _WALLET % (
        account.id.bytes,
        str(account.balance).encode(),
        str(account.held).encode(),
        int8(account.sequence),
        sized(account.head_hash),
        sized(timestamptz(account.last_entry_at)) if account.last_entry_at else NULL,
        *spent,
    )
