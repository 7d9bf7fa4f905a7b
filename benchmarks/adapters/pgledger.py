"""pgledger: a ledger in SQL functions, called by psycopg through prepared statements.

Its SQL is not part of this project; the runner is told where the files are. It has no idempotency key.
"""

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import psycopg

from benchmarks.adapters import OPENING
from benchmarks.workload import Transfer

AMOUNT = Decimal("0.01")


def _connect() -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=1)


class PgLedger:
    """Accounts that may not fall below zero, funded by one that may."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def prepare(self, accounts: int) -> None:
        with _connect() as connection:
            for file in os.environ["BENCH_SQL_FILES"].split(os.pathsep):
                connection.execute(Path(file).read_bytes())
            connection.execute(
                "SELECT pgledger_create_account('number ' || n, 'USD', n = 0)"
                " FROM generate_series(0, %s) AS n",
                [accounts],
            )
            connection.execute(
                "SELECT pgledger_create_transfer(house.id, a.id, %s) FROM pgledger_accounts_view AS a,"
                " pgledger_accounts_view AS house WHERE house.name = 'number 0' AND a.id <> house.id",
                [Decimal(OPENING) / 100],
            )

    def open(self, accounts: int) -> None:
        with _connect() as connection:
            rows = connection.execute(
                "SELECT id FROM pgledger_accounts_view WHERE NOT allow_negative_balance ORDER BY name"
            )
            self._ids = [str(row[0]) for row in rows]

    def caller(self) -> "PgLedgerCaller":
        return PgLedgerCaller(self._ids)

    def check(self) -> list[str]:
        with _connect() as connection:
            rows = connection.execute(
                """
                SELECT 'a transfer sums to zero', transfer_id FROM pgledger_entries_view
                    GROUP BY transfer_id HAVING sum(amount) <> 0 OR count(*) <> 2
                UNION ALL
                SELECT 'a balance is its entries, and not negative', a.id
                    FROM pgledger_accounts_view AS a LEFT JOIN (
                        SELECT account_id, sum(amount) AS total FROM pgledger_entries_view GROUP BY 1
                    ) AS e ON e.account_id = a.id
                    WHERE a.balance <> coalesce(e.total, 0)
                       OR (a.balance < 0 AND NOT a.allow_negative_balance)
                """
            )
            return [f"{fact}: {subject}" for fact, subject in rows]


class PgLedgerCaller:
    """One connection."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._connection = _connect()

    def post(self, transfers: Sequence[Transfer]) -> list[str]:
        for transfer in transfers:
            payer, recipient = self._ids[transfer.payer], self._ids[transfer.recipient]
            self._connection.execute(
                "SELECT id FROM pgledger_create_transfer(%s, %s, %s)", [payer, recipient, AMOUNT]
            )
        return []

    def close(self) -> None:
        self._connection.close()
