"""A transfer by the Django ORM as tutorials write it, on tables of its own."""

import os
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import dj_database_url
import django
from django.conf import settings
from django.db import connection, connections
from django.db.models import Sum

from benchmarks.adapters import OPENING
from benchmarks.workload import Transfer

AMOUNT = Decimal("0.01")
SHARE = Decimal(OPENING) / 100


class Naive:
    """Wallets that start with a balance of which no entry tells."""

    def __init__(self) -> None:
        database = dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=None)
        settings.configure(
            DATABASES={"default": database}, INSTALLED_APPS=["benchmarks.naive"], USE_TZ=True
        )
        django.setup()
        self._ids: list[uuid.UUID] = []

    def prepare(self, accounts: int) -> list[str]:
        """Make the wallets; returns their owners' addresses, in order."""
        from benchmarks.naive.models import NaiveEntry, NaiveTransaction, NaiveUser, NaiveWallet

        models: tuple[Any, ...] = (NaiveUser, NaiveWallet, NaiveTransaction, NaiveEntry)
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        owners = NaiveUser.objects.bulk_create(
            NaiveUser(email=f"bench-{number}@example.com") for number in range(accounts)
        )
        NaiveWallet.objects.bulk_create(
            NaiveWallet(number=number, owner=owner, balance=SHARE)
            for number, owner in enumerate(owners)
        )
        return [owner.email for owner in owners]

    def open(self, accounts: int) -> None:
        from benchmarks.naive.models import NaiveWallet

        self._ids = list(NaiveWallet.objects.order_by("number").values_list("pk", flat=True))

    def caller(self) -> "NaiveCaller":
        return NaiveCaller(self._ids)

    def check(self) -> list[str]:
        from benchmarks.naive.models import NaiveEntry, NaiveWallet

        unbalanced = (
            NaiveEntry.objects.values("transaction_id")
            .annotate(total=Sum("amount"))
            .exclude(total=0)
        )
        found = [f"a transaction sums to zero: {row['transaction_id']}" for row in unbalanced]
        wallets = NaiveWallet.objects.annotate(total=Sum("entries__amount"))
        for number, balance, total in wallets.values_list("number", "balance", "total"):
            if balance != SHARE + (total or 0) or balance < 0:
                found.append(f"a balance is its entries, and not negative: {number}")
        return found


class NaiveCaller:
    """One thread with Django's connection."""

    def __init__(self, ids: Sequence[uuid.UUID]) -> None:
        self._ids = ids

    def post(self, transfers: Sequence[Transfer]) -> list[str]:
        return [word for each in transfers for word in self._post(each)]

    def _post(self, asked: Transfer) -> list[str]:
        from benchmarks.naive.services import InsufficientFunds, transfer

        try:
            transfer(
                payer_id=self._ids[asked.payer],
                recipient_id=self._ids[asked.recipient],
                amount=AMOUNT,
                key=uuid.uuid4().hex,
            )
        except InsufficientFunds:
            return ["insufficient_funds"]
        return []

    def close(self) -> None:
        connections.close_all()
