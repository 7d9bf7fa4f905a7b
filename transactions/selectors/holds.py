"""What became of holds, and what of posted money was given back."""

import datetime
import uuid
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, Protocol

from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce, Now

from fintech_core.fields import AmountField
from fintech_core.money import format_amount
from transactions.models import GIVES_BACK, SHOWN_STATUS, Transaction, TransactionStatus
from wallet.models import Hold, HoldStatus


class HoldState(Protocol):
    """A hold, of the database or as a journal has it."""

    @property
    def status(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def fee(self) -> Decimal: ...
    @property
    def captured_amount(self) -> Decimal: ...
    @property
    def captured_fee(self) -> Decimal: ...
    @property
    def expires_at(self) -> datetime.datetime: ...
    @property
    def closed_at(self) -> datetime.datetime | None: ...


def facts_of_hold(
    hold: HoldState, *, reversed_amount: Decimal, at: datetime.datetime
) -> dict[str, Any]:
    """What a pending transaction tells beyond its row, as of a moment; plain JSON values.

    An open hold past its expiry reads ``expired``, swept or not. Its fee is what all of it would cost
    while it is open, and then what was taken.
    """
    is_open = hold.status == HoldStatus.OPEN
    is_overdue = is_open and hold.expires_at <= at
    shown = TransactionStatus.EXPIRED if is_overdue else SHOWN_STATUS[hold.status]
    fee = hold.fee if shown == TransactionStatus.PENDING else hold.captured_fee
    posted_at = hold.closed_at if shown == TransactionStatus.POSTED else None
    return {
        "status": shown.value,
        "captured_amount": format_amount(hold.captured_amount, hold.currency),
        "reversed_amount": format_amount(reversed_amount, hold.currency),
        "fee": format_amount(fee, hold.currency),
        "expires_at": hold.expires_at.isoformat(),
        "posted_at": posted_at.isoformat() if posted_at else None,
    }


def reversed_amounts(transaction_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Decimal]:
    """What was given back of each of these, and did not come back again (a refund that its provider could
    not make); those of which nothing was are left out."""
    came_back = (
        Transaction.objects.filter(parent_id=OuterRef("pk"), status=TransactionStatus.POSTED)
        .order_by()
        .values("parent_id")
        .annotate(total=Sum("amount"))
        .values("total")
    )
    stayed = F("amount") - Coalesce(
        Subquery(came_back, output_field=AmountField()), Decimal(0), output_field=AmountField()
    )
    rows = (
        Transaction.objects.filter(
            parent_id__in=transaction_ids, status=TransactionStatus.POSTED, kind__in=GIVES_BACK
        )
        .values("parent_id")
        .annotate(total=Sum(stayed))
        .values_list("parent_id", "total")
    )
    return {parent: total for parent, total in rows if parent}


def current_facts(rows: Iterable[Transaction]) -> dict[uuid.UUID, dict[str, Any]]:
    """What each of these transactions tells beyond its row by now, in two queries for all of them."""
    by_id = {row.pk: row for row in rows}
    reversed_by_id = reversed_amounts(by_id.keys())
    pending = [pk for pk, row in by_id.items() if row.status == TransactionStatus.PENDING]
    holds = Hold.objects.filter(pk__in=pending).annotate(read_at=Now()) if pending else ()
    facts: dict[uuid.UUID, dict[str, Any]] = {
        hold.pk: facts_of_hold(
            hold, reversed_amount=reversed_by_id.get(hold.pk, Decimal(0)), at=hold.read_at
        )
        for hold in holds
    }
    for pk in by_id.keys() - facts.keys():
        reversed_amount = reversed_by_id.get(pk, Decimal(0))
        facts[pk] = {"reversed_amount": format_amount(reversed_amount, by_id[pk].currency)}
    return facts


def list_overdue_wallets(
    *, after: tuple[datetime.datetime, uuid.UUID] | None, limit: int
) -> list[tuple[datetime.datetime, uuid.UUID, uuid.UUID]]:
    """(expiry, hold, wallet) of holds that ran out and are open still, oldest first, from a place on."""
    overdue = Hold.objects.filter(status=HoldStatus.OPEN, expires_at__lte=Now())
    if after is not None:
        overdue = overdue.filter(expires_at__gte=after[0]).exclude(
            expires_at=after[0], pk__lte=after[1]
        )
    rows = overdue.order_by("expires_at", "pk").values_list("expires_at", "pk", "wallet_id")
    return list(rows[:limit])
