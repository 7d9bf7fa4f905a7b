"""What an operation would cost, as the API is asked for it and tells it."""

from typing import Any

from rest_framework import serializers

from fintech_core.money import InvalidMoney, Money
from fintech_core.serializers import AmountTextField, QuerySerializer
from transactions.fees import KINDS
from transactions.serializers.fields import CurrencyField


class FeeQuery(QuerySerializer):
    """Query parameters: which operation, on how much."""

    kind = serializers.ChoiceField(KINDS)
    amount = AmountTextField()
    currency = CurrencyField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            attrs["money"] = Money.parse(attrs["amount"], attrs["currency"])
        except InvalidMoney as error:
            raise serializers.ValidationError({"amount": [str(error)]}) from None
        return attrs


class FeeSerializer(serializers.Serializer[Any]):
    """What the operation would cost the caller now; ``total`` is what leaves the wallet."""

    kind = serializers.ChoiceField(KINDS)
    amount = serializers.CharField()
    currency = serializers.CharField()
    fee = serializers.CharField()
    total = serializers.CharField()
