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
from typing import Any, NamedTuple

import orjson

from fintech_core.binary import text_array, uuid_array
from fintech_core.calls import call
from fintech_core.money import smallest_unit
from transactions.instructions import Recipient
from transactions.limits import Limits, Spending, limits_of
from wallet.models import HoldStatus, WalletKind


class Standing(NamedTuple):
    """What a user may do, as of the moment the accounts were read."""

    user_id: uuid.UUID
    is_active: bool
    tier: int
    verified_phone: str | None
    email: str


@dataclass(slots=True, eq=False)
class Counter:
    """What an owner's limits in one currency are judged by: what was spent, and what all wallets hold.

    It is kept in the row of the owner's first wallet of the currency, ``wallet_id``.
    """

    wallet_id: uuid.UUID
    spending: Spending
    total: Decimal


@dataclass(slots=True, eq=False)
class Account:
    """A locked wallet and its owner; the platform's have none."""

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
    open_holds: int
    counter: Counter
    owner: Standing | None

    @property
    def available(self) -> Decimal:
        """What may still leave: the balance and the overdraft, less what is held."""
        return self.balance - self.held + self.overdraft_limit

    @property
    def is_platform(self) -> bool:
        return self.kind != WalletKind.USER

    @property
    def tier(self) -> int:
        return self.owner.tier if self.owner else 0

    @property
    def limits(self) -> Limits:
        return limits_of(self.tier, self.currency)

    def move(self, amount: Decimal) -> None:
        """Take part in a posting: the balance and what the owner has in all change by the amount."""
        self.balance += amount
        self.counter.total += amount


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A hold, and of its transaction what captures repeat; the platform's wallets have no owner."""

    id: uuid.UUID
    wallet_id: uuid.UUID
    to_wallet_id: uuid.UUID
    to_owner_id: uuid.UUID | None
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
    def is_open(self) -> bool:
        return self.status == HoldStatus.OPEN

    @property
    def remaining(self) -> Decimal:
        """What may still be captured."""
        return self.amount - self.captured_amount

    @property
    def reserved(self) -> Decimal:
        """What it keeps in its wallet: the rest and the rest of the fee; nothing once it ended."""
        if not self.is_open:
            return Decimal(0)
        return self.remaining + self.fee - self.captured_fee

    def is_overdue(self, at: datetime.datetime) -> bool:
        """Open, but past its expiry: it is swept, or ended by the next posting of its wallet."""
        return self.is_open and self.expires_at <= at

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
        return account if account and account.owner and account.owner.is_active else None

    def email_of(self, account: Account) -> str | None:
        """The owner's address; None for the platform."""
        return account.owner.email if account.owner else None

    def moment(self, *accounts: Account) -> datetime.datetime:
        """When a transaction of these happens: now; where a clock stepped back, their last moment."""
        moment = self.read_at
        for account in accounts:
            if account.last_entry_at and account.last_entry_at > moment:
                moment = account.last_entry_at
        return moment


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
    own = [(caller, key) for caller, key in keys if caller]
    # A function of the database; its rows are positional (sql/rows.sql).
    *wallet_rows, (*_, rest) = call(
        "open_accounts",
        uuid_array(set(wallets)),
        uuid_array(set(primaries)),
        text_array(set(emails)),
        text_array(set(phones)),
        uuid_array(set(users)),
        uuid_array(set(holds)),
        uuid_array(caller for caller, _ in own),
        text_array(key for _, key in own),
        text_array(key for caller, key in keys if not caller),
        patience,
    )
    return _opened(wallet_rows, orjson.loads(rest))


def _opened(rows: list[tuple[Any, ...]], rest: dict[str, Any]) -> Opened:
    opened = Opened(
        read_at=datetime.datetime.fromisoformat(rest["read_at"]),
        accounts={},
        standings={},
        holds={hold.id: hold for hold in map(_hold, rest["holds"] or ())},
        known_transactions=[uuid.UUID(text) for text in rest["keys"] or ()],
        claimed_keys=frozenset((uuid.UUID(user), key) for user, key in rest["claims"] or ()),
    )
    for user_id, *standing in rest["users"] or ():
        key = uuid.UUID(user_id)
        opened.standings[key] = Standing(key, *standing)
    further = []
    for row in rows:
        account, counted_at = _account(row)
        opened.accounts[account.id] = account
        if counted_at:
            further.append((account, counted_at))
        if account.owner:
            opened.standings[account.owner.user_id] = account.owner
        if account.is_primary and account.owner:
            opened.primaries[account.owner.user_id] = account
    for account, counted_at in further:
        account.counter = opened.accounts[counted_at].counter
    for standing in opened.standings.values():
        opened.emails[standing.email] = standing
        if standing.verified_phone:
            opened.phones[standing.verified_phone] = standing
    return opened


def _account(row: tuple[Any, ...]) -> tuple[Account, uuid.UUID | None]:
    """A wallet of ``open_accounts()``, and where its owner's limits are counted if not in its own row."""
    wallet_id, owner_id, is_primary, counted_at, kind, currency, status, *figures = row
    balance, held, overdraft, sequence, head_hash, last_entry_at, open_holds, *counted = figures
    spent_on, in_day, in_month, in_pots, *standing, _ = counted
    total = balance if in_pots is None else balance + in_pots
    counter = Counter(wallet_id, Spending(spent_on, in_day, in_month), total)
    owner = Standing(owner_id, *standing) if owner_id else None
    what = (wallet_id, owner_id, is_primary, kind, currency, status)
    position = (sequence, head_hash, last_entry_at)
    account = Account(*what, balance, held, overdraft, *position, open_holds, counter, owner)
    return account, counted_at


def _hold(row: list[Any]) -> HoldRecord:
    return HoldRecord(
        id=uuid.UUID(row[0]),
        wallet_id=uuid.UUID(row[1]),
        to_wallet_id=uuid.UUID(row[2]),
        to_owner_id=uuid.UUID(row[3]) if row[3] else None,
        kind=row[4],
        status=row[5],
        amount=Decimal(row[6]),
        fee=Decimal(row[7]),
        currency=row[8],
        captured_amount=Decimal(row[9]),
        captured_fee=Decimal(row[10]),
        expires_at=datetime.datetime.fromisoformat(row[11]),
        created_at=datetime.datetime.fromisoformat(row[12]),
        closed_at=datetime.datetime.fromisoformat(row[13]) if row[13] else None,
    )
