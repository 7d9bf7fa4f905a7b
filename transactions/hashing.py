"""The bytes that the ledger's hash chains are made of (hash scheme 2).

The same are made in SQL by ``transaction_digest()`` and ``entry_hash()`` (``sql/posting.sql``); an entry
whose hash differs is refused.
"""

import datetime
import functools
import hashlib
import ipaddress
import json
import struct
import uuid
from decimal import Decimal

from fintech_core.fields import uuid_text
from transactions.instructions import TransactionRecord

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_PLACE = struct.Struct(">qh")


def transaction_digest(record: TransactionRecord) -> bytes:
    """SHA-256 over all of a transaction that says what it was: one field a line, free text last."""
    description = record.description
    lines = (
        uuid_text(record.id),
        record.kind,
        str(record.amount),
        record.currency,
        str(record.fee),
        "" if record.to_amount is None else str(record.to_amount),
        record.to_currency,
        uuid_text(record.from_wallet_id),
        uuid_text(record.to_wallet_id),
        uuid_text(record.parent_id) if record.parent_id else "",
        uuid_text(record.initiated_by_id) if record.initiated_by_id else "",
        record.idempotency_key,
        record.fingerprint.hex(),
        record.request_id,
        _address_bytes(record.client_address) if record.client_address else "",
        str((record.created_at - _EPOCH) // _MICROSECOND),
        str(len(description.encode())),
        description,
        canonical_metadata(record.metadata),
    )
    return hashlib.sha256("\n".join(lines).encode()).digest()


@functools.lru_cache(maxsize=10_000)
def _address_bytes(address: str) -> str:
    return ipaddress.ip_address(address).packed.hex()


def canonical_metadata(metadata: dict[str, str]) -> str:
    """The text of PostgreSQL's ``jsonb``: shorter keys first, then by bytes; two blanks, raw UTF-8."""
    if not metadata:
        return "{}"
    ordered = sorted(metadata.items(), key=lambda item: (len(item[0].encode()), item[0].encode()))
    return json.dumps(dict(ordered), ensure_ascii=False)


def entry_hash(
    previous: bytes,
    digest: bytes,
    *,
    wallet_id: uuid.UUID,
    sequence: int,
    leg: int,
    amount: Decimal,
    balance_after: Decimal,
) -> bytes:
    """The link of a wallet's chain: the hash before it, the transaction's digest, and the entry."""
    place = wallet_id.bytes + _PLACE.pack(sequence, leg)
    return hashlib.sha256(
        previous + digest + place + f"{amount!s} {balance_after!s}".encode()
    ).digest()
