"""Money in and out as the API takes and shows it."""

from typing import Any

from rest_framework import serializers

from fintech_core.pagination import PageQueryMixin
from fintech_core.serializers import (
    AmountTextField,
    QuerySerializer,
    StrictSerializer,
    TextField,
    UTCDateTimeField,
)
from payments.models import IntentStatus, PayoutStatus, RefundStatus
from transactions.serializers.fields import CurrencyField, IdempotencyKeyField

_PROVIDER_LENGTH = 40


class NewIntentSerializer(StrictSerializer):
    """How much is to come in; by default in the currency of the primary wallet, through the default
    provider."""

    amount = AmountTextField()
    currency = CurrencyField(required=False)
    provider = TextField(required=False, max_length=_PROVIDER_LENGTH)
    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)


class NewRefundSerializer(StrictSerializer):
    """How much of a payment goes back; all that is left where nothing is said."""

    amount = AmountTextField(required=False)
    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)


class NewPayoutSerializer(StrictSerializer):
    """How much is to go out, and where to, in words that the provider understands."""

    amount = AmountTextField()
    currency = CurrencyField(required=False)
    destination = TextField(max_length=255)
    provider = TextField(required=False, max_length=_PROVIDER_LENGTH)
    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)


class SimulationSerializer(StrictSerializer):
    """What the simulator is to say."""

    outcome = serializers.ChoiceField([IntentStatus.SUCCEEDED.value, IntentStatus.FAILED.value])


class PaymentPageQuery(PageQueryMixin, QuerySerializer):
    """Of a list of intents or payouts."""


class IntentSerializer(serializers.Serializer[Any]):
    """Money that is to come in, or has."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(IntentStatus.choices)
    amount = serializers.CharField()
    currency = serializers.CharField()
    provider = serializers.CharField()
    client_secret = serializers.CharField(allow_null=True)
    checkout_url = serializers.CharField(allow_null=True)
    failure_code = serializers.CharField(allow_null=True)
    refunded_amount = serializers.CharField()
    transaction = serializers.UUIDField(
        allow_null=True, help_text="The deposit, once it succeeded."
    )
    created_at = UTCDateTimeField()


class RefundSerializer(serializers.Serializer[Any]):
    """A part of a payment that goes back."""

    id = serializers.UUIDField()
    intent = serializers.UUIDField()
    amount = serializers.CharField()
    currency = serializers.CharField()
    status = serializers.ChoiceField(RefundStatus.choices)
    failure_code = serializers.CharField(allow_null=True)
    transaction = serializers.UUIDField()
    created_at = UTCDateTimeField()


class PayoutSerializer(serializers.Serializer[Any]):
    """Money that is to go out, or has."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(PayoutStatus.choices)
    amount = serializers.CharField()
    currency = serializers.CharField()
    destination = serializers.CharField()
    provider = serializers.CharField()
    failure_code = serializers.CharField(allow_null=True)
    transaction = serializers.UUIDField(help_text="The withdrawal, pending until it is paid.")
    created_at = UTCDateTimeField()
