"""Whether the books agree, and what stands in them."""

import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Count, DateTimeField, F, Func, Q, Sum

from fintech_core.calls import call
from fintech_core.database import allow_statement
from fintech_core.money import format_amount
from transactions.models import Transaction
from wallet.models import Hold, HoldStatus, Wallet, WalletKind

_SECONDS = 180


def list_violations() -> list[tuple[str, str]]:
    """Every (invariant, subject) that does not hold, seen at one moment; empty when the books agree."""
    return [(invariant, subject) for invariant, subject in call("ledger_violations")]


def reconcile() -> dict[str, Any]:
    """The trial balance, seen at one moment; amounts are text with their currency's places.

    Per currency: what users have, what the platform's wallets hold by purpose (its stripes together), and
    ``difference``, all of them together, which is zero; what is held, what the open holds reserve, and
    ``held_difference``, which is zero, too. Then how many transactions there are, by kind and status.
    """
    with transaction.atomic():
        with transaction.get_connection().cursor() as cursor:
            # Every statement of this transaction sees the same moment.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        allow_statement(_SECONDS)
        return {
            "at": _now(),
            "currencies": {
                currency: _in_currency(currency)
                for currency in Wallet.objects.order_by("currency")
                .values_list("currency", flat=True)
                .distinct()
            },
            "transactions": [
                {"kind": row["kind"], "status": row["status"], "count": row["n"]}
                for row in Transaction.objects.values("kind", "status")
                .annotate(n=Count("*"))
                .order_by("kind", "status")
            ],
        }


def _now() -> datetime.datetime:
    [(moment,)] = Wallet.objects.order_by().values_list(
        Func(function="now", output_field=DateTimeField())
    )[:1] or [(None,)]
    return moment or datetime.datetime.now(datetime.UTC)


def _in_currency(currency: str) -> dict[str, Any]:
    def text(amount: Any) -> str:
        return format_amount(amount or Decimal(0), currency)

    wallets = Wallet.objects.filter(currency=currency)
    users = wallets.filter(kind=WalletKind.USER)
    totals = wallets.aggregate(balance=Sum("balance"), held=Sum("held"), n=Count("*"))
    of_users = users.aggregate(balance=Sum("balance"), n=Count("*"), used=_used())
    open_holds = Hold.objects.filter(currency=currency, status=HoldStatus.OPEN)
    holds = open_holds.aggregate(
        reserved=Sum(F("amount") - F("captured_amount") + F("fee") - F("captured_fee")),
        n=Count("*"),
    )
    return {
        "users": {
            "balance": text(of_users["balance"]),
            "wallets": of_users["n"],
            "wallets_with_entries": of_users["used"],
        },
        "platform": _of_platform(currency),
        "difference": text(totals["balance"]),
        "held": text(totals["held"]),
        "open_holds": {"reserved": text(holds["reserved"]), "count": holds["n"]},
        "held_difference": text((totals["held"] or Decimal(0)) - (holds["reserved"] or Decimal(0))),
    }


def _used() -> Count:
    return Count("pk", filter=Q(last_sequence__gt=0))


def _of_platform(currency: str) -> list[dict[str, Any]]:
    """What the platform holds, by purpose: ``fees/0`` and ``fees/1`` are stripes of one."""
    sums: dict[tuple[str, str], list[Any]] = {}
    wallets = Wallet.objects.filter(currency=currency).exclude(kind=WalletKind.USER)
    for kind, purpose, balance in wallets.values_list("kind", "purpose", "balance"):
        found = sums.setdefault((kind, purpose.partition("/")[0]), [Decimal(0), 0])
        found[0] += balance
        found[1] += 1
    return [
        {
            "kind": kind,
            "purpose": purpose,
            "balance": format_amount(balance, currency),
            "wallets": count,
        }
        for (kind, purpose), (balance, count) in sorted(sums.items())
    ]
