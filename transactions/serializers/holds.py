"""Captures, voids and reversals as the API takes them."""

import uuid

from rest_framework import serializers

from fintech_core.serializers import (
    AmountTextField,
    CanonicalUUIDField,
    StrictSerializer,
    TextField,
)
from transactions.serializers.fields import FlagField, IdempotencyKeyField

MOST_HOLDS_OF_A_GROUP = 100


class CaptureSerializer(StrictSerializer):
    """How much of a hold to take, all that is left where nothing is said; and whether that is all."""

    amount = AmountTextField(required=False)
    final = FlagField(default=True)
    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)


class VoidSerializer(StrictSerializer):
    """A void happens once anyway, so that its key may be left out."""

    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)


class HoldGroupSerializer(StrictSerializer):
    """Holds that are decided on together, each named once."""

    default_error_messages = {"twice": "A hold may be named only once."}

    ids = serializers.ListField(
        child=CanonicalUUIDField(), min_length=1, max_length=MOST_HOLDS_OF_A_GROUP
    )
    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)

    def validate_ids(self, ids: list[uuid.UUID]) -> list[uuid.UUID]:
        if len(set(ids)) != len(ids):
            self.fail("twice")
        return ids


class ReversalSerializer(StrictSerializer):
    """How much to give back, all that is left where nothing is said, and why."""

    amount = AmountTextField(required=False)
    reason = TextField(required=False, allow_blank=True, max_length=500)
    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)
