"""Fields that several money operations take."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.serializers import TextField
from transactions.limits import offered_currencies
from users.identity import normalize_phone


class CurrencyField(TextField):
    """An upper-case ISO 4217 code that the platform offers."""

    default_error_messages = {"not_offered": "This currency is not offered."}

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if value not in offered_currencies():
            self.fail("not_offered")
        return value


class RecipientPhoneField(TextField):
    """A phone number that begins with ``+`` and the country."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return normalize_phone(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="invalid_phone") from None


@extend_schema_field({"type": "string", "pattern": "^[!-~]{1,255}$"})
class IdempotencyKeyField(serializers.JSONField):
    """Taken as it is: ``transactions.idempotency.read_key`` judges it together with the header."""


class FlagField(serializers.BooleanField):
    """JSON's true or false; no word or number stands for them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class SecondsField(serializers.IntegerField):
    """A whole JSON number of seconds."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)
