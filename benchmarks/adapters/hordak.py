"""django-hordak, by its own ``Account.transfer_to()`` in a transaction.

It runs in an environment of its own, which the runner makes and throws away. It keeps no balances, takes
no locks, looks at no funds and knows no idempotency key.
"""

import os
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import dj_database_url
import django
from django.conf import settings
from django.db import connections, transaction

from benchmarks.adapters import OPENING
from benchmarks.workload import Transfer


class Hordak:
    """Asset accounts, funded from one of equity."""

    def __init__(self) -> None:
        settings.configure(
            DATABASES={
                "default": {
                    **dj_database_url.parse(os.environ["DATABASE_URL"]),
                    "CONN_MAX_AGE": None,
                }
            },
            INSTALLED_APPS=[
                "django.contrib.contenttypes",
                "django.contrib.auth",
                "mptt",
                "hordak",
            ],
            DEFAULT_AUTO_FIELD="django.db.models.AutoField",
            DEFAULT_CURRENCY="USD",
            CURRENCIES=["USD"],
            HORDAK_INTERNAL_CURRENCY="USD",
            HORDAK_CURRENCIES=["USD"],
            USE_TZ=True,
        )
        django.setup()
        self._accounts: list[Any] = []

    def prepare(self, accounts: int) -> None:
        from django.core.management import call_command
        from hordak.models import Account

        call_command("migrate", verbosity=0)
        with Account.objects.disable_mptt_updates():
            Account.objects.bulk_create(
                Account(
                    name=f"number {number}",
                    type="EQ" if number < 0 else "AS",
                    currencies=["USD"],
                    lft=1,
                    rght=2,
                    tree_id=number + 2,
                    level=0,
                )
                for number in range(-1, accounts)
            )
        house, *others = Account.objects.order_by("tree_id")
        for first in range(0, len(others), 200):
            with transaction.atomic():
                for account in others[first : first + 200]:
                    house.transfer_to(account, _dollars(OPENING))

    def open(self, accounts: int) -> None:
        from hordak.models import Account

        self._accounts = list(Account.objects.filter(type="AS").order_by("tree_id"))

    def caller(self) -> "HordakCaller":
        return HordakCaller(self._accounts)

    def check(self) -> list[str]:
        """Balances are sums of legs by definition here, so there is only their sign to judge."""
        with connections["default"].cursor() as cursor:
            cursor.execute(
                """
                SELECT 'a transaction sums to zero', transaction_id FROM hordak_leg
                    GROUP BY transaction_id
                    HAVING sum(coalesce(debit, 0)) <> sum(coalesce(credit, 0)) OR count(*) <> 2
                UNION ALL
                SELECT 'a balance is not negative', account_id
                    FROM hordak_leg JOIN hordak_account AS a ON a.id = account_id
                    WHERE a.type = 'AS' GROUP BY account_id
                    HAVING sum(coalesce(debit, 0)) < sum(coalesce(credit, 0))
                """
            )
            return [f"{fact}: {subject}" for fact, subject in cursor.fetchall()]


class HordakCaller:
    """One thread with Django's connection."""

    def __init__(self, accounts: Sequence[Any]) -> None:
        self._accounts = accounts

    def post(self, transfers: Sequence[Transfer]) -> list[str]:
        with transaction.atomic():
            for transfer in transfers:
                payer, recipient = (
                    self._accounts[transfer.payer],
                    self._accounts[transfer.recipient],
                )
                payer.transfer_to(recipient, _dollars(1))
        return []

    def close(self) -> None:
        connections.close_all()


def _dollars(cents: int) -> Any:
    from moneyed import Money

    return Money(Decimal(cents) / 100, "USD")
