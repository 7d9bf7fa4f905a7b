"""Ledgers of the past, and large ones: between two users with an overdraft and no other entries."""

import datetime
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from django.db import connection

from fintech_core.fields import uuid7
from transactions import services
from transactions.selectors import in_index_order
from transactions.tests.factories import (
    POST_LEDGER,
    RawPosting,
    asked,
    instruct,
    make_payee,
    make_payer,
    wallet_of,
)
from users.models import User
from wallet.models import Wallet


@dataclass(frozen=True, slots=True)
class Pair:
    """Two users between whom money moves, one of whom may owe some."""

    payer: User
    payee: User

    def post(self, amount: str, at: str, **columns: Any) -> uuid.UUID:
        """A transfer of that amount, dated then; times may not go back."""
        source, target = wallet_of(self.payer), wallet_of(self.payee)
        like: Any = SimpleNamespace(
            from_wallet_id=source.pk, to_wallet_id=target.pk, initiated_by_id=self.payer.pk
        )
        moment = datetime.datetime.fromisoformat(at).isoformat()
        row = asked(like, id=str(uuid7()), amount=amount, created_at=moment, **columns)
        posting = RawPosting().add(row, (source.pk, f"-{amount}"), (target.pk, amount))
        with connection.cursor() as cursor:
            cursor.execute(POST_LEDGER, posting.arguments)
        return uuid.UUID(row["id"])


def make_pair(limit: str = "1000") -> Pair:
    """Two users; the first may overdraw."""
    pair = Pair(make_payee(), make_payee())
    Wallet.objects.filter(user=pair.payer).update(overdraft_limit=Decimal(limit))
    return pair


def make_busy_payer(transfers: int) -> tuple[User, User]:
    """A user who has paid 0.01 to another so many times, after one deposit."""
    payer, payee = make_payer("1000.00"), make_payee()
    for first in range(0, transfers, 500):
        count = min(500, transfers - first)
        batch = [
            instruct(payer, payee, "0.01", description=f"no. {first + i}") for i in range(count)
        ]
        services.transfer_many(batch)
    return payer, payee


def plan_of(statement: str) -> list[dict[str, Any]]:
    """Every node of the plan by which a history's statement is run."""
    with in_index_order(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        [(told,)] = cursor.fetchall()
    [root] = json.loads(told) if isinstance(told, str) else told
    nodes, left = [], [root["Plan"]]
    while left:
        node = left.pop()
        nodes.append(node)
        left += node.get("Plans", [])
    return nodes
