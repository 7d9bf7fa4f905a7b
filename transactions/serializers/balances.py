"""Balances as the API shows them."""

from typing import Any

from rest_framework import serializers

from fintech_core.money import format_amount
from fintech_core.serializers import QuerySerializer, TimeField
from transactions.selectors import PastBalance


class BalanceSerializer(serializers.Serializer[Any]):
    """A wallet's money in one snapshot."""

    currency = serializers.CharField()
    balance = serializers.CharField()
    held = serializers.CharField(allow_null=True, help_text="Null at a past moment.")
    available = serializers.CharField(allow_null=True, help_text="Null at a past moment.")
    holds = serializers.ListField(
        allow_null=True,
        help_text="Open holds; there are none before holds can be made. Null at a past moment.",
    )
    as_of_sequence = serializers.IntegerField()


class BalanceQuery(QuerySerializer):
    """Query parameters of a balance: ``at`` asks for a past moment; one that is not yet is now."""

    at = TimeField(required=False)


def represent_past_balance(seen: PastBalance) -> dict[str, Any]:
    """A balance as it was; what was held of it is known of the present alone."""
    return {
        "currency": seen.currency,
        "balance": format_amount(seen.balance, seen.currency),
        "held": None,
        "available": None,
        "holds": None,
        "as_of_sequence": seen.as_of_sequence,
    }
