"""A transfer as tutorials write it: lock, look, save, one statement after the other."""

import uuid
from decimal import Decimal

from django.db import transaction

from benchmarks.naive.models import NaiveEntry, NaiveTransaction, NaiveWallet


class InsufficientFunds(Exception):
    """The payer has less than the amount."""


def transfer(
    *, payer_id: uuid.UUID, recipient_id: uuid.UUID, amount: Decimal, key: str
) -> NaiveTransaction:
    """Move the amount in one transaction; a key that was used before is an ``IntegrityError``."""
    with transaction.atomic():
        locked = NaiveWallet.objects.select_for_update().order_by("pk")
        wallets = {wallet.pk: wallet for wallet in locked.filter(pk__in=[payer_id, recipient_id])}
        payer, recipient = wallets[payer_id], wallets[recipient_id]
        if payer.balance < amount:
            raise InsufficientFunds
        payer.balance -= amount
        payer.save()
        recipient.balance += amount
        recipient.save()
        made = NaiveTransaction.objects.create(
            key=key, from_wallet=payer, to_wallet=recipient, amount=amount
        )
        for wallet, moved in ((payer, -amount), (recipient, amount)):
            NaiveEntry.objects.create(
                transaction=made, wallet=wallet, amount=moved, balance_after=wallet.balance
            )
    return made
