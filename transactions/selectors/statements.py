"""Statements of a wallet: where it stood, all that was posted to it, and where it stood then."""

import datetime
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from django.db import InterfaceError, OperationalError, connection

from fintech_core.sqlstates import is_connection_lost
from transactions.models import LedgerEntry, reference_of
from transactions.selectors.balances import last_entry_before
from wallet.models import Wallet

# Entries read at a time: what a statement of any length holds in memory.
CHUNK = 500
# A database that was away for so long does not break off a statement that is being sent.
_RETRIES = 3
_RETRY_SECONDS = 0.5

_LINE = (
    "sequence",
    "created_at",
    "transaction__kind",
    "transaction_id",
    "transaction__description",
    "amount",
    "balance_after",
    "transaction__from_wallet_id",
    "transaction__from_wallet__owner__email",
    "transaction__to_wallet__owner__email",
)


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry: what a transaction added to the wallet, and the balance it left."""

    sequence: int
    created_at: datetime.datetime
    kind: str
    transaction_id: uuid.UUID
    counterparty: str | None
    description: str
    amount: Decimal
    balance_after: Decimal

    @property
    def reference(self) -> str:
        """The short word of the transaction, as everywhere."""
        return reference_of(self.transaction_id)


@dataclass(frozen=True, slots=True)
class Statement:
    """The entries of a wallet of some UTC days, both inclusive, and the balances before and after them.

    ``opening_balance`` and all entries always add up to ``closing_balance``, which is the next day's
    opening balance. Which entries belong to it is settled when it is opened, and entries never change:
    so the lines may be read at leisure, whatever is posted meanwhile.
    """

    wallet: Wallet
    first_day: datetime.date
    last_day: datetime.date
    opening_sequence: int
    opening_balance: Decimal
    closing_sequence: int
    closing_balance: Decimal

    @property
    def length(self) -> int:
        """How many entries there are; sequences have no gaps."""
        return self.closing_sequence - self.opening_sequence

    def lines(self) -> Iterator[StatementLine]:
        """The entries in order, read ``CHUNK`` at a time by their sequence."""
        after = self.opening_sequence
        while after < self.closing_sequence:
            chunk = self._read_after(after)
            yield from chunk
            after = chunk[-1].sequence

    def _read_after(self, sequence: int) -> list[StatementLine]:
        """The next lines; a lost connection is made anew, since they are the same ever after."""
        for _ in range(_RETRIES):
            try:
                return self._lines_after(sequence)
            except (OperationalError, InterfaceError) as error:
                if not is_connection_lost(error):
                    raise
                connection.close()
                time.sleep(_RETRY_SECONDS)
        return self._lines_after(sequence)

    def _lines_after(self, sequence: int) -> list[StatementLine]:
        last = min(sequence + CHUNK, self.closing_sequence)
        rows = (
            LedgerEntry.objects.filter(
                wallet_id=self.wallet.pk, sequence__gt=sequence, sequence__lte=last
            )
            .order_by("sequence")
            .values_list(*_LINE)
        )
        return [
            StatementLine(
                sequence=row[0],
                created_at=row[1],
                kind=row[2],
                transaction_id=row[3],
                counterparty=row[9] if row[7] == self.wallet.pk else row[8],
                description=row[4],
                amount=row[5],
                balance_after=row[6],
            )
            for row in rows
        ]


def open_statement(
    wallet: Wallet, *, first_day: datetime.date, last_day: datetime.date
) -> Statement:
    """The statement of these UTC days; if the last is today, of what is posted until now."""
    opening_sequence, opening_balance = last_entry_before(wallet, _midnight(first_day))
    closing_sequence, closing_balance = last_entry_before(
        wallet, _midnight(last_day + datetime.timedelta(days=1))
    )
    return Statement(
        wallet=wallet,
        first_day=first_day,
        last_day=last_day,
        opening_sequence=opening_sequence,
        opening_balance=opening_balance,
        closing_sequence=closing_sequence,
        closing_balance=closing_balance,
    )


def _midnight(day: datetime.date) -> datetime.datetime:
    """The moment at which the UTC day begins."""
    return datetime.datetime.combine(day, datetime.time(), tzinfo=datetime.UTC)
