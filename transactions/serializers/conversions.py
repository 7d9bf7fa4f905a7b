"""Conversions and quotes as the API takes and shows them."""

from typing import Any

from rest_framework import serializers

from fintech_core.money import format_amount
from fintech_core.serializers import (
    AmountTextField,
    CanonicalUUIDField,
    StrictSerializer,
    UTCDateTimeField,
    format_time,
)
from transactions.models import Quote
from transactions.serializers.fields import IdempotencyKeyField


class QuoteRequestSerializer(StrictSerializer):
    """What is to be converted: an amount of the first wallet's currency."""

    from_wallet = CanonicalUUIDField()
    to_wallet = CanonicalUUIDField()
    amount = AmountTextField()


class ConversionSerializer(QuoteRequestSerializer):
    """A conversion, at a quote's rate or at the current one."""

    quote = CanonicalUUIDField(required=False)
    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)


class QuoteSerializer(serializers.Serializer[Quote]):
    """What a conversion will bring and cost, if it is made before ``expires_at``."""

    id = serializers.UUIDField()
    from_wallet = serializers.UUIDField()
    to_wallet = serializers.UUIDField()
    amount = serializers.CharField()
    currency = serializers.CharField()
    to_amount = serializers.CharField()
    to_currency = serializers.CharField()
    rate = serializers.CharField(help_text="So much of to_currency for one unit of currency.")
    fee = serializers.CharField(help_text="What it costs beyond the amount, in its currency.")
    expires_at = UTCDateTimeField()


def represent_quote(quote: Quote) -> dict[str, Any]:
    """The quote as its owner sees it."""
    return {
        "id": str(quote.pk),
        "from_wallet": str(quote.from_wallet_id),
        "to_wallet": str(quote.to_wallet_id),
        "amount": format_amount(quote.amount, quote.currency),
        "currency": quote.currency,
        "to_amount": format_amount(quote.to_amount, quote.to_currency),
        "to_currency": quote.to_currency,
        "rate": f"{quote.rate.normalize():f}",
        "fee": format_amount(quote.fee, quote.currency),
        "expires_at": format_time(quote.expires_at),
    }
