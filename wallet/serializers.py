"""Wallets as the API shows and takes them."""

from typing import Any

from rest_framework import serializers

from fintech_core.money import format_amount
from fintech_core.pagination import PageQueryMixin
from fintech_core.serializers import QuerySerializer, StrictSerializer, TextField, UTCDateTimeField
from wallet.models import Wallet, WalletStatus


class WalletSerializer(serializers.Serializer[Wallet]):
    """A wallet, its money as decimal strings with the currency's places; read by ``wallet.selectors``,
    which know what of ``held`` has run out."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    currency = serializers.CharField()
    balance = serializers.SerializerMethodField()
    held = serializers.SerializerMethodField()
    available = serializers.SerializerMethodField()
    status = serializers.ChoiceField(WalletStatus.choices)
    is_primary = serializers.SerializerMethodField()
    created_at = UTCDateTimeField()

    def get_balance(self, wallet: Wallet) -> str:
        return format_amount(wallet.balance, wallet.currency)

    def get_held(self, wallet: Wallet) -> str:
        return format_amount(wallet.truly_held, wallet.currency)

    def get_available(self, wallet: Wallet) -> str:
        return format_amount(wallet.balance - wallet.truly_held, wallet.currency)

    def get_is_primary(self, wallet: Wallet) -> bool:
        return wallet.user_id is not None

    def to_representation(self, instance: Wallet) -> dict[str, Any]:
        return {**super().to_representation(instance), "id": str(instance.pk)}


class RenameSerializer(StrictSerializer):
    """The one thing an owner may change."""

    name = TextField(min_length=1, max_length=60)


class ReasonSerializer(StrictSerializer):
    """Why an operator does it; kept in the audit trail."""

    reason = TextField(min_length=1, max_length=500)


class WalletPageQuery(PageQueryMixin, QuerySerializer):
    """Query parameters of the list of wallets."""
