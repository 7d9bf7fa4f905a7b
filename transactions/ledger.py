"""The posting core: the only writer of transactions, entries, balances and holds.

A ``Journal`` takes decided transactions, one after the other, and computes what they do to the locked
wallets; ``write()`` hands all of it to PostgreSQL in one statement, whether it is one or a thousand.
"""

import datetime
import uuid
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from fintech_core.binary import Rows
from fintech_core.calls import call, call_and_commit
from fintech_core.fields import uuid7
from fintech_core.money import format_amount
from transactions.accounts import Account, HoldRecord, Opened
from transactions.hashing import entry_hash, transaction_digest
from transactions.instructions import TransactionRecord
from transactions.models import TransactionStatus
from transactions.rows import entry_row, transaction_row, wallet_row
from wallet.models import HoldStatus


class Journal:
    """What a batch decided, in order; nothing of it is written before ``write()``."""

    def __init__(self, opened: Opened, *, spared: Collection[uuid.UUID] = ()) -> None:
        """Begin with the expired holds of the opened wallets, but for those ``spared``: who opened the
        accounts ends these in another way."""
        self._opened = opened
        self._transactions: list[bytes] = []
        self._entries: list[bytes] = []
        self._holds: dict[Any, HoldRecord] = {}
        self._touched: dict[Account, None] = {}
        self._end_expired_holds(spared)

    def __bool__(self) -> bool:
        return bool(self._transactions)

    def post(self, record: TransactionRecord, *legs: tuple[Account, Decimal]) -> None:
        """Add a posted transaction: its first leg leaves its source, the second reaches its target.

        Moves the accounts and fills in ``record.balances_after``. It is dated no earlier than what any of
        its wallets did last, the platform's included, whatever the clock says.
        """
        accounts = [account for account, _ in legs]
        record.created_at = max(record.created_at, self._opened.moment(*accounts))
        digest = transaction_digest(record)
        for number, (account, amount) in enumerate(legs, 1):
            previous = account.head_hash
            account.sequence += 1
            account.move(amount)
            account.last_entry_at = record.created_at
            account.head_hash = entry_hash(
                previous,
                digest,
                wallet_id=account.id,
                sequence=account.sequence,
                leg=number,
                amount=amount,
                balance_after=account.balance,
            )
            self._entries.append(entry_row(record, number, account, amount, previous))
            record.balances_after[account.id] = account.balance
            self.touch(account)
        self.add(record)

    def add(self, record: TransactionRecord) -> None:
        """Add a transaction that moves nothing: a decline, a hold that is opened or ended."""
        self._transactions.append(transaction_row(record))

    def reserve(self, record: TransactionRecord, lifetime: datetime.timedelta) -> None:
        """Add a pending transaction and its hold: the amount and the fee are reserved for so long."""
        expires_at = record.created_at + lifetime
        record.facts = {"expires_at": expires_at.isoformat()}
        self.add(record)
        self.keep(
            HoldRecord(
                id=record.id,
                wallet_id=record.from_wallet_id,
                to_wallet_id=record.to_wallet_id,
                to_owner_id=self._opened.accounts[record.to_wallet_id].owner_id,
                kind=record.kind,
                status=HoldStatus.OPEN,
                amount=record.amount,
                fee=record.fee,
                currency=record.currency,
                captured_amount=Decimal(0),
                captured_fee=Decimal(0),
                expires_at=expires_at,
                created_at=record.created_at,
            )
        )

    def keep(self, hold: HoldRecord) -> None:
        """Open a hold, or change it to what is given; its wallet reserves what it reserves now."""
        before = self._opened.holds.get(hold.id)
        account = self._opened.accounts[hold.wallet_id]
        account.held += hold.reserved - (before.reserved if before else 0)
        account.open_holds += hold.is_open - (before.is_open if before else 0)
        self._opened.holds[hold.id] = hold
        self._holds[hold.id] = hold
        self.touch(account)

    def touch(self, account: Account) -> None:
        """Write this account, too, and where its owner's limits are counted."""
        self._touched[account] = None
        if account.counter.wallet_id != account.id:
            self._touched[self._opened.accounts[account.counter.wallet_id]] = None

    def write(self) -> None:
        """Write all of it in the open transaction, under whose locks the accounts were opened.

        Raises ``IntegrityError`` named for the fact that would not hold: PostgreSQL refuses what is not
        whole, and nothing is written then.
        """
        call("post_ledger", *self._rows())

    def commit(self) -> None:
        """The same, and commit the open transaction with it; nothing may follow."""
        call_and_commit("post_ledger", *self._rows())

    def _rows(self) -> tuple[Rows, Rows, Rows, str]:
        return (
            Rows("posted_transaction", self._transactions),
            Rows("posted_entry", self._entries),
            Rows("posted_wallet", [wallet_row(account) for account in self._touched]),
            orjson.dumps([_hold_row(hold) for hold in self._holds.values()]).decode(),
        )

    def _end_expired_holds(self, spared: Collection[uuid.UUID]) -> None:
        """Give back what expired holds of the opened wallets reserve, before anything is decided."""
        for hold in list(self._opened.holds.values()):
            if hold.is_overdue(self._opened.read_at) and hold.id not in spared:
                self.add(_expiry_of(hold, self._opened))
                self.end(hold, HoldStatus.EXPIRED)

    def _give_back(self, hold: HoldRecord) -> None:
        """What was not captured counts for the limits of its day and month no more, if it ever did."""
        if not self._was_counted(hold):
            return
        counter = self._opened.accounts[hold.wallet_id].counter
        counter.spending = counter.spending.minus(hold.remaining, made_on=hold.created_at.date())

    def _was_counted(self, hold: HoldRecord) -> bool:
        """What goes to an own wallet counts for no limit."""
        return hold.to_owner_id != self._opened.accounts[hold.wallet_id].owner_id

    def end(self, hold: HoldRecord, status: HoldStatus) -> HoldRecord:
        """End an open hold: what it still reserves is available again. Returns it as it is then."""
        ended = hold.ended(status, self._opened.read_at)
        self._give_back(hold)
        self.keep(ended)
        return ended

    def capture(
        self, hold: HoldRecord, amount: Decimal, fee: Decimal, *, final: bool
    ) -> HoldRecord:
        """Let a part of an open hold go, and with ``final`` end it. Returns it as it is then."""
        captured = replace(
            hold,
            captured_amount=hold.captured_amount + amount,
            captured_fee=hold.captured_fee + fee,
        )
        if final or not captured.remaining:
            self._give_back(captured)
            captured = captured.ended(HoldStatus.CAPTURED, self._opened.read_at)
        self.keep(captured)
        return captured


def _expiry_of(hold: HoldRecord, opened: Opened) -> TransactionRecord:
    return TransactionRecord(
        id=uuid7(),
        kind=hold.kind,
        status=TransactionStatus.EXPIRED,
        amount=hold.remaining,
        fee=hold.fee * 0,
        currency=hold.currency,
        from_wallet_id=hold.wallet_id,
        to_wallet_id=hold.to_wallet_id,
        initiated_by_id=None,
        idempotency_key=f"expire {hold.id}",
        fingerprint=hold.id.bytes * 2,
        created_at=opened.read_at,
        parent_id=hold.id,
    )


def _hold_row(hold: HoldRecord) -> dict[str, Any]:
    places = {name: format_amount(getattr(hold, name), hold.currency) for name in _HOLD_AMOUNTS}
    return {
        "id": hold.id,
        "wallet_id": hold.wallet_id,
        "status": hold.status,
        "currency": hold.currency,
        "expires_at": hold.expires_at,
        "created_at": hold.created_at,
        "closed_at": hold.closed_at,
        **places,
    }


_HOLD_AMOUNTS = ("amount", "fee", "captured_amount", "captured_fee")
