"""Balances as the API shows them."""

from typing import Any

from rest_framework import serializers

from fintech_core.serializers import QuerySerializer, TimeField


class BalanceSerializer(serializers.Serializer[Any]):
    """A wallet's money in one snapshot."""

    currency = serializers.CharField()
    balance = serializers.CharField()
    held = serializers.CharField()
    available = serializers.CharField()
    holds = serializers.ListField(help_text="Open holds; there are none before holds can be made.")
    as_of_sequence = serializers.IntegerField()


class BalanceQuery(QuerySerializer):
    """Query parameters of a balance: ``at`` asks for a past moment."""

    at = TimeField(required=False)
