"""What a decision is made on: wallets that are locked, whose they are, and what they have spent.

``open_accounts`` finds, locks and reads all of it in one round trip. The objects are then moved as the
decisions of a batch are taken, so that each sees what the ones before it left; ``ledger.Journal`` writes
them.
"""

import datetime
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Decimal
from typing import Any

import orjson

from fintech_core.database import call
from fintech_core.money import smallest_unit
from transactions.instructions import Recipient
from transactions.limits import Limits, Spending, limits_of
from wallet.models import HoldStatus, WalletKind


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user may do, as of the moment the accounts were read."""

    user_id: uuid.UUID
    email: str
    verified_phone: str | None
    is_active: bool
    tier: int


@dataclass(slots=True)
class Counter:
    """What an owner's limits in one currency are judged by: what was spent, and what all wallets hold.

    It is kept in the row of the owner's first wallet of the currency, ``wallet_id``.
    """

    wallet_id: uuid.UUID
    spending: Spending
    total: Decimal


@dataclass(slots=True)
class Account:
    """A locked wallet."""

    id: uuid.UUID
    owner_id: uuid.UUID | None
    is_primary: bool
    kind: str
    currency: str
    status: str
    balance: Decimal
    held: Decimal
    overdraft_limit: Decimal
    sequence: int
    head_hash: bytes
    last_entry_at: datetime.datetime | None
    counter: Counter
    tier: int = 0

    @property
    def available(self) -> Decimal:
        """What may still leave: the balance and the overdraft, less what is held."""
        return self.balance - self.held + self.overdraft_limit

    @property
    def is_platform(self) -> bool:
        return self.kind != WalletKind.USER

    @property
    def limits(self) -> Limits:
        return limits_of(self.tier, self.currency)

    def move(self, amount: Decimal) -> None:
        """Take part in a posting: the balance and what the owner has in all change by the amount."""
        self.balance += amount
        self.counter.total += amount


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A hold, and of its transaction what captures repeat."""

    id: uuid.UUID
    wallet_id: uuid.UUID
    to_wallet_id: uuid.UUID
    kind: str
    status: str
    amount: Decimal
    fee: Decimal
    currency: str
    captured_amount: Decimal
    captured_fee: Decimal
    expires_at: datetime.datetime
    created_at: datetime.datetime
    closed_at: datetime.datetime | None = None

    @property
    def remaining(self) -> Decimal:
        """What may still be captured."""
        return self.amount - self.captured_amount

    @property
    def reserved(self) -> Decimal:
        """What it keeps in its wallet: the rest and the rest of the fee; nothing once it ended."""
        if self.status != HoldStatus.OPEN:
            return Decimal(0)
        return self.remaining + self.fee - self.captured_fee

    def is_overdue(self, at: datetime.datetime) -> bool:
        """Open, but past its expiry: it is swept, or ended by the next posting of its wallet."""
        return self.status == HoldStatus.OPEN and self.expires_at <= at

    def fee_of(self, amount: Decimal) -> Decimal:
        """What of the fee a capture of the amount takes: in proportion, rounded down over all captures
        so far, so that whoever captures all takes all of it."""
        smallest = smallest_unit(self.currency)
        share = self.fee * (self.captured_amount + amount) / self.amount
        return share.quantize(smallest, rounding=ROUND_DOWN) - self.captured_fee

    def ended(self, status: HoldStatus, at: datetime.datetime) -> "HoldRecord":
        """The same, ended."""
        return replace(self, status=status.value, closed_at=at)


@dataclass(slots=True)
class Opened:
    """All that was locked and read, as of ``read_at`` on the database's clock."""

    read_at: datetime.datetime
    accounts: dict[uuid.UUID, Account]
    standings: dict[uuid.UUID, Standing]
    holds: dict[uuid.UUID, HoldRecord]
    known_transactions: list[uuid.UUID]
    claimed_keys: frozenset[tuple[uuid.UUID, str]]
    primaries: dict[uuid.UUID, Account] = field(default_factory=dict)
    emails: dict[str, Standing] = field(default_factory=dict)
    phones: dict[str, Standing] = field(default_factory=dict)

    def account_of(self, recipient: Recipient) -> Account | None:
        """The wallet a recipient's words mean, where its owner is an active user."""
        if recipient.wallet_id is not None:
            account = self.accounts.get(recipient.wallet_id)
        else:
            owner = (
                self.emails.get(recipient.email)
                if recipient.email is not None
                else self.phones.get(recipient.phone or "")
            )
            account = self.primaries.get(owner.user_id) if owner else None
        if account is None or account.owner_id is None:
            return None
        return account if self.standings[account.owner_id].is_active else None

    def email_of(self, account: Account) -> str | None:
        """The owner's address; None for the platform."""
        return self.standings[account.owner_id].email if account.owner_id else None

    def moment(self, *accounts: Account) -> datetime.datetime:
        """When a transaction of these happens: now; where a clock stepped back, their last moment."""
        return max(self.read_at, *(a.last_entry_at or self.read_at for a in accounts))


def open_accounts(
    *,
    wallets: Iterable[uuid.UUID] = (),
    primaries: Iterable[uuid.UUID] = (),
    emails: Iterable[str] = (),
    phones: Iterable[str] = (),
    users: Iterable[uuid.UUID] = (),
    holds: Iterable[uuid.UUID] = (),
    keys: Collection[tuple[uuid.UUID | None, str]] = (),
    patience: int | None = None,
) -> Opened:
    """Lock wallets until the transaction ends, in the order of their ids, and read what is decided by.

    They are those named, the primary ones of the users named, and those where their owners' limits are
    counted. What names nothing is left out: the caller finds out. ``keys`` are the idempotency keys whose
    transactions and claims are looked up, ``holds`` those to be read besides the expired ones of the
    wallets. ``patience`` is how many milliseconds to wait for a lock, where that is not the connection's
    own.
    """
    asked: dict[str, Any] = {"patience": patience} if patience is not None else {}
    named: tuple[tuple[str, Iterable[Any]], ...] = (
        ("wallets", wallets),
        ("primaries", primaries),
        ("emails", emails),
        ("phones", phones),
        ("users", users),
        ("holds", holds),
        ("keys", [(str(caller), key) for caller, key in keys if caller]),
        ("platform_keys", [key for caller, key in keys if not caller]),
    )
    for name, values in named:
        if distinct := list(set(values)):
            asked[name] = distinct
    # A function of the database; its rows are positional (sql/claimed_keys.sql).
    [(found,)] = call("open_accounts", orjson.dumps(asked).decode())
    return _opened(orjson.loads(found))


def _opened(found: dict[str, Any]) -> Opened:
    read_at = datetime.datetime.fromisoformat(found["read_at"])
    standings = {}
    for line in _lines(found["users"]):
        user_id, is_active, tier, phone, email = line.split(",", 4)
        key = uuid.UUID(user_id)
        standings[key] = Standing(key, email, phone or None, is_active == "1", int(tier))
    holds = {hold.id: hold for hold in map(_hold, found["holds"] or ())}
    opened = Opened(
        read_at=read_at,
        accounts=_accounts(found, standings),
        standings=standings,
        holds=holds,
        known_transactions=[uuid.UUID(text) for text in found["keys"] or ()],
        claimed_keys=frozenset((uuid.UUID(user), key) for user, key in found["claims"] or ()),
    )
    for account in opened.accounts.values():
        if account.is_primary and account.owner_id:
            opened.primaries[account.owner_id] = account
    for standing in standings.values():
        opened.emails[standing.email] = standing
        if standing.verified_phone:
            opened.phones[standing.verified_phone] = standing
    return opened


def _accounts(
    found: dict[str, Any], standings: dict[uuid.UUID, Standing]
) -> dict[uuid.UUID, Account]:
    pots = {first: Decimal(total) for first, total in found["pots"] or ()}
    rows = [line.split(",") for line in _lines(found["wallets"])]
    counters: dict[str, Counter] = {}
    for row in rows:
        wallet_id, counted_at, balance, spent_on = row[0], row[3], row[7], row[13]
        if not counted_at:
            counters[wallet_id] = Counter(
                uuid.UUID(wallet_id),
                Spending(datetime.date.fromisoformat(spent_on), Decimal(row[14]), Decimal(row[15])),
                Decimal(balance) + pots.get(wallet_id, Decimal(0)),
            )
    accounts = {}
    for row in rows:
        account = _account(row, counters[row[3] or row[0]])
        if account.owner_id:
            account.tier = standings[account.owner_id].tier
        accounts[account.id] = account
    return accounts


def _account(row: list[str], counter: Counter) -> Account:
    return Account(
        id=uuid.UUID(row[0]),
        owner_id=uuid.UUID(row[1]) if row[1] else None,
        is_primary=row[2] == "1",
        kind=row[4],
        currency=row[5],
        status=row[6],
        balance=Decimal(row[7]),
        held=Decimal(row[8]),
        overdraft_limit=Decimal(row[9]),
        sequence=int(row[10]),
        head_hash=bytes.fromhex(row[11]),
        last_entry_at=datetime.datetime.fromisoformat(row[12]) if row[12] else None,
        counter=counter,
    )


def _lines(text: str | None) -> list[str]:
    return text.split("\n") if text else []


def _hold(row: list[Any]) -> HoldRecord:
    return HoldRecord(
        id=uuid.UUID(row[0]),
        wallet_id=uuid.UUID(row[1]),
        to_wallet_id=uuid.UUID(row[2]),
        kind=row[3],
        status=row[4],
        amount=Decimal(row[5]),
        fee=Decimal(row[6]),
        currency=row[7],
        captured_amount=Decimal(row[8]),
        captured_fee=Decimal(row[9]),
        expires_at=datetime.datetime.fromisoformat(row[10]),
        created_at=datetime.datetime.fromisoformat(row[11]),
        closed_at=datetime.datetime.fromisoformat(row[12]) if row[12] else None,
    )
