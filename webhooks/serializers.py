"""Endpoints and deliveries as the API shows and takes them."""

from typing import Any

from rest_framework import serializers

from fintech_core.pagination import PageQueryMixin
from fintech_core.serializers import (
    CanonicalUUIDField,
    QuerySerializer,
    StrictSerializer,
    TextField,
    TimeField,
    UTCDateTimeField,
)
from transactions.serializers.fields import FlagField
from transactions.serializers.history import SpanQuery
from webhooks.addresses import MAX_URL_LENGTH
from webhooks.models import (
    EVENT_TYPES,
    EVERY_TYPE,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    DisabledBecause,
    Endpoint,
    EndpointStatus,
)

# What an owner may switch to.
_SWITCH = [EndpointStatus.ENABLED.value, EndpointStatus.DISABLED.value]


class EndpointSerializer(serializers.Serializer[Endpoint]):
    """An endpoint as its owner sees it; never its secret."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    description = serializers.CharField(allow_blank=True)
    platform = serializers.BooleanField(
        source="is_platform", help_text="Whether it hears of everybody's events."
    )
    status = serializers.ChoiceField(_SWITCH)
    reason = serializers.SerializerMethodField(help_text="Why it is disabled.")
    failing_since = UTCDateTimeField(allow_null=True, help_text="Null where its last try was good.")
    created_at = UTCDateTimeField()

    def get_reason(self, endpoint: Endpoint) -> DisabledBecause | None:
        return DisabledBecause(endpoint.reason) if endpoint.reason else None


class EndpointWithSecretSerializer(EndpointSerializer):
    """The same with the secret that signs from now on, told this once."""

    secret = serializers.CharField()


class NewEndpointSerializer(StrictSerializer):
    """A URL, and what it is to be told of."""

    url = TextField(min_length=1, max_length=MAX_URL_LENGTH)
    events = serializers.ListField(
        child=TextField(max_length=40),
        min_length=1,
        max_length=50,
        help_text=f'Types, or "{EVERY_TYPE}" for all: {", ".join(EVENT_TYPES)}.',
    )
    description = TextField(required=False, allow_blank=True, max_length=500)
    platform = FlagField(required=False)


class ChangedEndpointSerializer(StrictSerializer):
    """What an owner may change; what is not given stays."""

    url = TextField(required=False, min_length=1, max_length=MAX_URL_LENGTH)
    events = serializers.ListField(
        required=False, child=TextField(max_length=40), min_length=1, max_length=50
    )
    description = TextField(required=False, allow_blank=True, max_length=500)
    status = serializers.ChoiceField(_SWITCH, required=False)


class EndpointPageQuery(PageQueryMixin, QuerySerializer):
    """Query parameters of the list of endpoints."""


class AttemptSerializer(serializers.Serializer[DeliveryAttempt]):
    """One try."""

    status = serializers.IntegerField(
        source="status_code", allow_null=True, help_text="Of the answer; null where none came."
    )
    error = serializers.SerializerMethodField(help_text="Why it did not count; null where it did.")
    started_at = UTCDateTimeField()
    duration_ms = serializers.IntegerField()

    def get_error(self, attempt: DeliveryAttempt) -> str | None:
        return attempt.error or None


class DeliverySerializer(serializers.Serializer[Delivery]):
    """An event on its way to an endpoint, with its newest tries, the last first."""

    id = serializers.UUIDField()
    endpoint = serializers.UUIDField(source="endpoint_id")
    event = serializers.UUIDField(source="event_id", help_text="The webhook-id of every try.")
    event_type = serializers.CharField()
    subject = serializers.UUIDField(source="event.subject_id")
    sequence = serializers.IntegerField(source="event.sequence")
    status = serializers.ChoiceField(DeliveryStatus.choices)
    created_at = UTCDateTimeField()
    next_attempt_at = UTCDateTimeField(allow_null=True)
    delivered_at = UTCDateTimeField(allow_null=True)
    attempts = AttemptSerializer(many=True, source="newest_attempts")


class DeliveryPageQuery(PageQueryMixin, SpanQuery):
    """Query parameters of the list of deliveries."""

    endpoint = CanonicalUUIDField(required=False)
    event_type = serializers.ChoiceField(EVENT_TYPES, required=False)
    status = serializers.ChoiceField(DeliveryStatus.choices, required=False)


class RedeliveryRangeSerializer(StrictSerializer):
    """Which deliveries of an endpoint are sent again: those made from one moment until before another."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "from": TimeField(help_text="The first moment."),
            "to": TimeField(help_text="The moment before which it ends."),
            "status": serializers.ChoiceField(DeliveryStatus.choices, required=False),
        }

    def validate(self, attrs: Any) -> Any:
        if attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"to": ["This is before the beginning."]}, "order")
        return attrs


class RedeliveredSerializer(serializers.Serializer[Any]):
    """How many deliveries will be sent again."""

    count = serializers.IntegerField()
    has_more = serializers.BooleanField(help_text="Ask again from where these end.")
