"""Transfers as the API takes them."""

import datetime
from typing import Any

from django.conf import settings
from rest_framework import serializers

from fintech_core.money import AMOUNT_TEXT, InvalidMoney, Money
from fintech_core.serializers import (
    AmountTextField,
    CanonicalUUIDField,
    MetadataField,
    StrictSerializer,
    TextField,
)
from transactions.instructions import Recipient
from transactions.limits import offered_currencies
from transactions.serializers.fields import (
    CurrencyField,
    FlagField,
    IdempotencyKeyField,
    RecipientPhoneField,
    SecondsField,
)
from transactions.serializers.transactions import TransactionSerializer
from users.identity import normalize_email
from users.serializers import EmailTextField

BATCH_MODES = ("atomic", "independent")
BATCH_SIZE = 1_000


class BatchSerializer(StrictSerializer):
    """Up to 1,000 transfers in order. Each is judged by itself, as a ``TransferSerializer``."""

    mode = serializers.ChoiceField(BATCH_MODES)
    transfers = serializers.ListField(min_length=1, max_length=BATCH_SIZE)


class BatchResultSerializer(serializers.Serializer[Any]):
    """What became of one transfer: the transaction, or the problem that kept it from happening."""

    status = serializers.ChoiceField(["posted", "pending", "declined"])
    transaction = TransactionSerializer(required=False)
    error = serializers.DictField(required=False)


class BatchAnswerSerializer(serializers.Serializer[Any]):
    """Results in the order of the transfers; ``posted`` counts pending ones, ``declined`` all others."""

    results = BatchResultSerializer(many=True)
    posted = serializers.IntegerField()
    declined = serializers.IntegerField()


class PaymentSerializer(StrictSerializer):
    """Who gets how much: exactly one of ``to_user_email``, ``to_phone`` and ``to_wallet`` names who."""

    default_error_messages = {
        "one_recipient": "Give exactly one of to_user_email, to_phone and to_wallet."
    }

    to_user_email = EmailTextField(required=False)
    to_phone = RecipientPhoneField(required=False, max_length=32)
    to_wallet = CanonicalUUIDField(required=False)
    amount = AmountTextField()
    currency = CurrencyField(required=False)
    from_wallet = CanonicalUUIDField(required=False)
    description = TextField(required=False, allow_blank=True, max_length=500)
    metadata = MetadataField(required=False)
    idempotency_key = IdempotencyKeyField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [n for n in ("to_user_email", "to_phone", "to_wallet") if n in attrs]
        if len(given) != 1:
            field = given[-1] if given else "to_user_email"
            raise serializers.ValidationError(
                {field: [self.error_messages["one_recipient"]]}, code="one_recipient"
            )
        if "currency" in attrs:
            try:
                Money.parse(attrs["amount"], attrs["currency"])
            except InvalidMoney as error:
                raise serializers.ValidationError({"amount": [str(error)]}) from None
        return attrs

    @staticmethod
    def recipient_of(values: dict[str, Any]) -> Recipient:
        """Whom the validated body names."""
        return Recipient(
            email=values.get("to_user_email"),
            phone=values.get("to_phone"),
            wallet_id=values.get("to_wallet"),
        )


class TransferSerializer(PaymentSerializer):
    """A payment that is made now, or with ``hold`` reserved."""

    default_error_messages = {"no_hold": "Only a hold expires: send hold: true with it."}

    hold = FlagField(default=False)
    expires_in = SecondsField(
        required=False,
        min_value=1,
        max_value=int(settings.HOLD_LONGEST_LIFETIME.total_seconds()),
        help_text="Seconds until a hold gives back what was not captured.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if "expires_in" in attrs and not attrs["hold"]:
            raise serializers.ValidationError(
                {"expires_in": [self.error_messages["no_hold"]]}, code="no_hold"
            )
        return attrs

    @classmethod
    def take(cls, data: Any) -> dict[str, Any]:
        """As every serializer's; what most transfers consist of needs none of its machinery."""
        return _plain(data) or super().take(data)

    @staticmethod
    def hold_for(values: dict[str, Any]) -> datetime.timedelta | None:
        """How long the validated body of a payment wants the money held; None to move it at once."""
        if not values.get("hold"):
            return None
        if "expires_in" in values:
            return datetime.timedelta(seconds=values["expires_in"])
        lifetime: datetime.timedelta = settings.HOLD_LIFETIME
        return lifetime


_PLAIN = frozenset({"to_user_email", "amount", "currency", "description", "idempotency_key"})


def _plain(sent: Any) -> dict[str, Any] | None:
    """The values of a transfer that is good beyond doubt, as ``TransferSerializer`` would give them.

    None leaves the verdict, and its words, to the serializer: where anything is wrong, and where a member
    is a rarer one.
    """
    if type(sent) is not dict or not sent.keys() <= _PLAIN:
        return None
    if not all(type(value) is str for value in sent.values()):
        return None
    email, amount = sent.get("to_user_email", ""), sent.get("amount", "")
    if len(amount) > 32 or not AMOUNT_TEXT.fullmatch(amount) or not amount.strip("0."):
        return None
    description = sent.get("description", "")
    if len(description) > 500 or not (description.isascii() and description.isprintable()):
        return None
    try:
        if (currency := sent.get("currency")) is not None:
            if currency not in offered_currencies():
                return None
            Money.parse(amount, currency)
        return {**sent, "to_user_email": normalize_email(email), "hold": False}
    except ValueError:  # No address, or no amount of its currency.
        return None
