"""This project, called where its own views call it: ``transfer()`` and ``transfer_many()``."""

import hashlib
import logging
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import django

from benchmarks.workload import HOT, Transfer

AMOUNT = "0.01"
OPENING = Decimal(500)
# Who hands out the opening balances gets a deposit, and reaches so many within a day's limit.
REACH = 150
CHUNK = 200


def email_of(account: int) -> str:
    return f"bench-{account:07}@example.com"


class Ours:
    """Approved users who were funded by real deposits and transfers, and their primary wallets."""

    def __init__(self) -> None:
        django.setup()
        # What fails is counted by the caller; a line for each would slow down the others.
        logging.disable(logging.WARNING)
        self._ids: list[uuid.UUID] = []

    def prepare(self, accounts: int) -> dict[str, list[str]]:
        """Make the users; returns the email address, wallet and an access token of each, in order."""
        from users.services import open_session
        from wallet.selectors import get_primary_wallet

        users = _make_users(accounts)
        _fund(users)
        tokens = [open_session(user=user).access for user in users]
        wallets = [str(get_primary_wallet(user).pk) for user in users]
        return {"emails": [user.email for user in users], "tokens": tokens, "wallets": wallets}

    def open(self, accounts: int) -> None:
        from users.models import User

        found = User.objects.filter(email__startswith="bench-").order_by("email")
        self._ids = list(found.values_list("pk", flat=True)[:accounts])

    def caller(self) -> "ServiceCaller":
        return ServiceCaller(self._ids)

    def post(self, transfers: Sequence[Transfer]) -> list[Any]:
        """The records of these transfers, a single one by ``transfer()``, more of them in one commit.

        Raises ``RuntimeError`` where one is not posted.
        """
        from transactions.services import transfer, transfer_many

        instructions = [_instruction(self._ids, each) for each in transfers]
        many = len(instructions) > 1
        results = transfer_many(instructions) if many else [transfer(instructions[0])]
        refused = [word for result in results for word in _refusal(result)]
        if refused:
            raise RuntimeError(f"a transfer was not posted: {refused[0]}")
        return [result.transaction for result in results if not isinstance(result, Exception)]

    def check(self) -> list[str]:
        """The books' violations, whatever time it takes to look for them."""
        from django.db import connection, transaction

        from transactions.selectors import list_violations

        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")
            return [f"{invariant}: {subject}" for invariant, subject in list_violations()]


class ServiceCaller:
    """One thread that calls the service; alone by ``transfer()``, else by ``transfer_many()``."""

    def __init__(self, ids: Sequence[uuid.UUID]) -> None:
        self._ids = ids

    def post(self, transfers: Sequence[Transfer]) -> list[str]:
        from transactions.services import transfer

        if len(transfers) > 1:
            return _post_many(self._ids, transfers)
        outcome = transfer(_instruction(self._ids, transfers[0]))
        return _refusal(outcome)

    def close(self) -> None:
        from django.db import connections

        connections.close_all()


class Ungrouped(Ours):
    """The same, but single transfers go through ``transfer_many()``, which has nobody to wait for."""

    def caller(self) -> "UngroupedCaller":
        return UngroupedCaller(self._ids)


class UngroupedCaller(ServiceCaller):
    """A thread whose every call is a batch, if only of one."""

    def post(self, transfers: Sequence[Transfer]) -> list[str]:
        return _post_many(self._ids, transfers)


def _post_many(ids: Sequence[uuid.UUID], transfers: Sequence[Transfer]) -> list[str]:
    from transactions.services import transfer_many

    results = transfer_many([_instruction(ids, each) for each in transfers])
    return [word for result in results for word in _refusal(result)]


def _instruction(ids: Sequence[uuid.UUID], transfer: Transfer, amount: str = AMOUNT) -> Any:
    from transactions.instructions import Recipient, TransferInstruction

    key = uuid.uuid4().hex
    email = email_of(transfer.recipient)
    return TransferInstruction(
        caller_id=ids[transfer.payer],
        idempotency_key=key,
        fingerprint=hashlib.sha256(f"{key} {email} {amount}".encode()).digest(),
        recipient=Recipient(email=email),
        amount=amount,
    )


def _refusal(result: Any) -> list[str]:
    """Why a result is no posted transfer; empty where it is one."""
    if isinstance(result, Exception):
        return [type(result).__name__]
    record = result.transaction
    return [] if record.status == "posted" and not result.is_replay else [record.decline_code]


def _make_users(accounts: int) -> list[Any]:
    from django.db import transaction

    from users.models import KycStatus, User

    users: list[Any] = []
    for first in range(0, accounts, CHUNK):
        with transaction.atomic():
            users += [
                User.objects.create_user(
                    email_of(number), kyc_status=KycStatus.APPROVED, kyc_tier=2
                )
                for number in range(first, min(first + CHUNK, accounts))
            ]
    return users


def _fund(users: Sequence[Any]) -> None:
    """Deposit with a few, who pass it on in batches; the hot payer gets a deposit of its own."""
    from fintech_core.money import Money
    from payments.services import record_deposit
    from transactions.services import transfer_many

    treasurers = range(HOT + 1, HOT + 2 + len(users) // REACH)
    each = OPENING * (REACH + 1)
    for number in (HOT, *treasurers):
        amount = each if number != HOT else Decimal(1_000_000)
        record_deposit(
            provider="bench",
            user=users[number],
            amount=Money(amount, "USD"),
            reference=f"opening-{number}",
        )
    ids = [user.pk for user in users]
    others = range(treasurers.stop, len(users))
    for first in range(0, len(others), CHUNK):
        instructions = [
            _instruction(ids, Transfer(treasurers[number % len(treasurers)], number), str(OPENING))
            for number in others[first : first + CHUNK]
        ]
        refused = [word for result in transfer_many(instructions) for word in _refusal(result)]
        if refused:
            raise RuntimeError(f"the users could not be funded: {refused[0]}")
