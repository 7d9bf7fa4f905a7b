"""A ledger to be tampered with, and what a verification says of it first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection

from transactions.models import Checkpoint, LedgerEntry
from transactions.services import take_checkpoint, transfer, verify
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from users.models import User
from wallet.models import Wallet

Tampering = Callable[[], Any]


@dataclass
class Ledger:
    """A payer with a deposit, three transfers and a hold; a payee; the newest checkpoint covers them."""

    payer: User
    payee: User
    source: Wallet
    middle: LedgerEntry
    last: LedgerEntry
    checkpoint: Checkpoint


def make_ledger() -> Ledger:
    payer, payee = make_payer("100.00"), make_payee()
    for place in range(3):
        transfer(instruct(payer, payee, f"{place + 1}.00", client_address="203.0.113.7"))
    transfer(instruct(payer, payee, "5.00", hold_for=timedelta(hours=1)))
    checkpoint = take_checkpoint()
    assert checkpoint is not None
    source = wallet_of(payer)
    entries = list(LedgerEntry.objects.filter(wallet=source).order_by("sequence"))
    return Ledger(payer, payee, source, entries[2], entries[3], checkpoint)


def sql(text: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, values)


def first_violation() -> tuple[str, str, str]:
    """(table, row, invariant) of the first that a full verification names."""
    found = verify(after_checkpoint=0).violations[0]
    assert found.expected != found.found
    return found.table, found.row, found.invariant


ENTRY, TRANSACTION = "transactions_ledgerentry", "transactions_transaction"
HASHED = "I17 entry and transaction are what was hashed"
CHECKPOINT = "transactions_checkpoint"
