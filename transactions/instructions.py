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
class Request:
    """Who asks, under which idempotency key, from where; ``caller_id`` is null for the platform itself.

    ``fingerprint`` is the SHA-256 of the whole request: with the key it tells a retry from a misuse.
    """

    caller_id: uuid.UUID | None
    idempotency_key: str
    fingerprint: bytes
    request_id: str = ""
    client_address: str | None = None


@dataclass(frozen=True, slots=True)
class TransferInstruction:
    """A request to move ``amount`` (its text as sent) from the caller to a recipient.

    ``currency`` and ``source_wallet_id`` default to those of the caller's primary wallet. With
    ``hold_for`` the money is only reserved, for at most that long.
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
    hold_for: datetime.timedelta | None = None


@dataclass(slots=True)
class TransactionRecord:
    """A transaction as it is written, with what an answer needs beside it.

    ``balances_after`` holds, by wallet, the balance each of its entries left. ``facts`` are what the
    answer told beyond the row: of a decline, or of the hold that this opens, captures or ends.
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
    created_at: datetime.datetime
    fee: Decimal = Decimal(0)
    to_amount: Decimal | None = None
    to_currency: str = ""
    parent_id: uuid.UUID | None = None
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    decline_code: str = ""
    facts: dict[str, Any] | None = None
    request_id: str = ""
    client_address: str | None = None
    from_user_email: str | None = None
    to_user_email: str | None = None
    balances_after: dict[uuid.UUID, Decimal] = field(default_factory=dict)

    @property
    def decline(self) -> Decline | None:
        """The recorded refusal, or None."""
        return decline_of(self.decline_code, self.facts) if self.decline_code else None


@dataclass(frozen=True, slots=True)
class HoldOutcome:
    """What became of a hold: the capture or void (or its refusal), and the hold as it was after that."""

    act: TransactionRecord
    hold: TransactionRecord
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an instruction: the transaction, and whether an earlier request made it."""

    transaction: TransactionRecord
    is_replay: bool = False
