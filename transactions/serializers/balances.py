"""Balances as the API shows them."""

from typing import Any

from rest_framework import serializers

from fintech_core.money import format_amount
from fintech_core.serializers import QuerySerializer, TimeField, UTCDateTimeField, format_time
from transactions.selectors import OpenHold, PastBalance


class OpenHoldSerializer(serializers.Serializer[Any]):
    """What is still held, and for whom."""

    id = serializers.UUIDField()
    amount = serializers.CharField(help_text="What may still be captured.")
    fee = serializers.CharField(help_text="What of its fee is held besides.")
    currency = serializers.CharField()
    to_wallet = serializers.UUIDField()
    to_user_email = serializers.EmailField(allow_null=True)
    created_at = UTCDateTimeField()
    expires_at = UTCDateTimeField()


class BalanceSerializer(serializers.Serializer[Any]):
    """A wallet's money in one snapshot."""

    currency = serializers.CharField()
    balance = serializers.CharField()
    held = serializers.CharField(allow_null=True, help_text="Null at a past moment.")
    available = serializers.CharField(allow_null=True, help_text="Null at a past moment.")
    holds = OpenHoldSerializer(
        many=True,
        allow_null=True,
        help_text="Open holds of the wallet, the first 200 to expire. Null at a past moment.",
    )
    as_of_sequence = serializers.IntegerField()


class BalanceQuery(QuerySerializer):
    """Query parameters of a balance: ``at`` asks for a past moment; one that is not yet is now."""

    at = TimeField(required=False)


def represent_open_hold(hold: OpenHold, currency: str) -> dict[str, Any]:
    """An open hold as the owner of its wallet sees it."""
    return {
        "id": str(hold.id),
        "amount": format_amount(hold.amount, currency),
        "fee": format_amount(hold.fee, currency),
        "currency": currency,
        "to_wallet": str(hold.to_wallet_id),
        "to_user_email": hold.to_user_email,
        "created_at": format_time(hold.created_at),
        "expires_at": format_time(hold.expires_at),
    }


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
