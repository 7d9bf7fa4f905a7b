"""Wallets as the API shows and takes them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.money import AMOUNT_TEXT, format_amount
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
    # Only where one was ever set.
    overdraft_limit = serializers.CharField(
        required=False, help_text="How far below zero it may go."
    )

    def get_balance(self, wallet: Wallet) -> str:
        return format_amount(wallet.balance, wallet.currency)

    def get_held(self, wallet: Wallet) -> str:
        return format_amount(wallet.truly_held, wallet.currency)

    def get_available(self, wallet: Wallet) -> str:
        return format_amount(wallet.balance - wallet.truly_held, wallet.currency)

    def get_is_primary(self, wallet: Wallet) -> bool:
        return wallet.user_id is not None

    def to_representation(self, instance: Wallet) -> dict[str, Any]:
        told = {**super().to_representation(instance), "id": str(instance.pk)}
        if instance.overdraft_limit is None:
            del told["overdraft_limit"]
        else:
            told["overdraft_limit"] = format_amount(instance.overdraft_limit, instance.currency)
        return told


class RenameSerializer(StrictSerializer):
    """The one thing an owner may change."""

    name = TextField(min_length=1, max_length=60)


class OpenSerializer(RenameSerializer):
    """Another wallet: a pot, or the first of another currency."""

    currency = TextField(max_length=3)


@extend_schema_field({"type": "string", "pattern": f"^{AMOUNT_TEXT.pattern}$", "example": "100.00"})
class LimitTextField(TextField):
    """An amount's text, zero or more; its decimal places are judged where its currency is known."""

    default_error_messages = {"invalid": 'Send a decimal string such as "100.00".'}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or not AMOUNT_TEXT.fullmatch(data):
            self.fail("invalid")
        return super().to_internal_value(data)


class OverdraftSerializer(StrictSerializer):
    """How far below zero a wallet may go."""

    limit = LimitTextField(max_length=32)


class ReasonSerializer(StrictSerializer):
    """Why an operator does it; kept in the audit trail."""

    reason = TextField(min_length=1, max_length=500)


class WalletPageQuery(PageQueryMixin, QuerySerializer):
    """Query parameters of the list of wallets."""
