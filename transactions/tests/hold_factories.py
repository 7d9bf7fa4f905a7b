"""Holds, and requests about them."""

import datetime
import time
import uuid
from typing import Any

from transactions import services
from transactions.instructions import Request
from transactions.models import LedgerEntry
from transactions.tests.factories import instruct, wallet_of
from users.models import User
from wallet.models import Hold


def make_hold(payer: User, payee: User, amount: str, **overrides: Any) -> uuid.UUID:
    """The id of an open hold; it lasts an hour unless ``hold_for`` says otherwise."""
    overrides.setdefault("hold_for", datetime.timedelta(hours=1))
    record = services.transfer(instruct(payer, payee, amount, **overrides)).transaction
    assert record.status == "pending", record
    return record.id


def make_overdue_hold(payer: User, payee: User, amount: str) -> uuid.UUID:
    """The id of a hold that has expired and was not swept."""
    hold_id = make_hold(payer, payee, amount, hold_for=datetime.timedelta(milliseconds=50))
    time.sleep(0.06)
    return hold_id


def ask(user: User | None, key: str = "", *, of: str = "") -> Request:
    """A request by the user, under a new key unless one is given; its fingerprint follows ``of``."""
    return Request(
        caller_id=user.pk if user else None,
        idempotency_key=key or uuid.uuid4().hex,
        fingerprint=uuid.uuid5(uuid.NAMESPACE_OID, of).bytes * 2,
    )


def standing(*users: User) -> list[tuple[str, str, int]]:
    """What must not change by a refusal: balance, held and entries of each."""
    return [
        (
            str(wallet_of(user).balance),
            str(wallet_of(user).held),
            LedgerEntry.objects.filter(wallet__user=user).count(),
        )
        for user in users
    ]


def hold_status(hold_id: uuid.UUID) -> str:
    """As it is stored."""
    return Hold.objects.get(pk=hold_id).status
