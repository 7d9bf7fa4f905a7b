"""A transfer by the Django ORM as tutorials write it, on tables of its own."""

import os
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import dj_database_url
import django
from django.conf import settings
from django.db import connection, connections, transaction
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

    def prepare(self, accounts: int) -> None:
        from benchmarks.naive.models import NaiveEntry, NaiveTransaction, NaiveWallet

        models: tuple[Any, ...] = (NaiveWallet, NaiveTransaction, NaiveEntry)
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        NaiveWallet.objects.bulk_create(
            NaiveWallet(number=number, balance=SHARE) for number in range(accounts)
        )

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
        return [
            word
            for transfer in transfers
            for word in _transfer(self._ids[transfer.payer], self._ids[transfer.recipient])
        ]

    def close(self) -> None:
        connections.close_all()


def _transfer(payer_id: uuid.UUID, recipient_id: uuid.UUID) -> list[str]:
    from benchmarks.naive.models import NaiveEntry, NaiveTransaction, NaiveWallet

    with transaction.atomic():
        locked = NaiveWallet.objects.select_for_update().order_by("pk")
        wallets = {wallet.pk: wallet for wallet in locked.filter(pk__in=[payer_id, recipient_id])}
        payer, recipient = wallets[payer_id], wallets[recipient_id]
        if payer.balance < AMOUNT:
            return ["insufficient_funds"]
        payer.balance -= AMOUNT
        payer.save()
        recipient.balance += AMOUNT
        recipient.save()
        made = NaiveTransaction.objects.create(
            key=uuid.uuid4().hex, from_wallet=payer, to_wallet=recipient, amount=AMOUNT
        )
        for wallet, amount in ((payer, -AMOUNT), (recipient, AMOUNT)):
            NaiveEntry.objects.create(
                transaction=made, wallet=wallet, amount=amount, balance_after=wallet.balance
            )
    return []
