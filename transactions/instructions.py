"""Plain values that cross the ledger's boundary: instructions in, outcomes out.

No ORM object and nothing of HTTP: a batch of these is also what another ledger engine would take.
"""

import datetime
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from transactions.declines import Decline, decline_of


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a transfer goes to; exactly one of the three is given."""

    email: str | None = None
    phone: str | None = None
    wallet_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class TransferInstruction:
    """A request to move ``amount`` (its text as sent) from the caller to a recipient.

    ``currency`` and ``source_wallet_id`` default to those of the caller's primary wallet.
    ``fingerprint`` is the SHA-256 of the whole request: with the key it tells a retry from a misuse.
    """

    caller_id: uuid.UUID
    idempotency_key: str
    fingerprint: bytes
    recipient: Recipient
    amount: str
    currency: str | None = None
    source_wallet_id: uuid.UUID | None = None
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    request_id: str = ""
    client_address: str | None = None


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """A transaction as written, with what an answer needs beside it.

    ``balances_after`` holds, by wallet, the balance each of its entries left.
    """

    id: uuid.UUID
    kind: str
    status: str
    amount: Decimal
    currency: str
    from_wallet_id: uuid.UUID
    to_wallet_id: uuid.UUID
    initiated_by_id: uuid.UUID | None
    idempotency_key: str
    fingerprint: bytes
    description: str
    metadata: dict[str, str]
    decline_code: str
    decline_facts: dict[str, Any] | None
    request_id: str
    client_address: str | None
    created_at: datetime.datetime
    from_user_email: str | None = None
    to_user_email: str | None = None
    balances_after: dict[uuid.UUID, Decimal] = field(default_factory=dict)

    @property
    def decline(self) -> Decline | None:
        """The recorded refusal, or None for a posted transaction."""
        return decline_of(self.decline_code, self.decline_facts) if self.decline_code else None


@dataclass(frozen=True, slots=True)
class Leg:
    """One signed amount for one wallet."""

    wallet_id: uuid.UUID
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Posting:
    """A decided transaction and its legs; a declined one has none."""

    transaction: TransactionRecord
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an instruction: the transaction, and whether an earlier request made it."""

    transaction: TransactionRecord
    is_replay: bool = False
