"""Serializer base and fields that take a value exactly as sent, or refuse it.

DRF's own fields are lenient (``"1_000"``, ``" 10 "`` and ``true`` become amounts and ids); what names
money or a person must not be guessed.
"""

import functools
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.functional import cached_property
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.money import AMOUNT_TEXT
from fintech_core.times import format_time as format_time  # noqa: PLC0414 - it is read from here

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
# Controls that reorder or hide text on a screen (Unicode TR 36): an operator must see what is there.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses members it does not know and bodies that are not objects.

    ``take`` is ``is_valid`` for the paths that every transfer takes: it makes no copy of all the fields
    for each request, and asks only the fields that were sent.
    """

    default_error_messages = {
        "unknown": "This field is not known here.",
        "null": "No data provided",
    }

    @classmethod
    def take(cls, data: Any) -> dict[str, Any]:
        """The validated members of a parsed body. Raises ``ValidationError``.

        One instance judges all requests, in all threads: a field keeps nothing of what it judges.
        """
        values: dict[str, Any] = _shared(cls).run_validation(data)
        return values

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = self._fields_by_name
            unknown = [str(name) for name in data if name not in known]
            if unknown:
                message = self.error_messages["unknown"]
                raise serializers.ValidationError(
                    {_printable(name): [message] for name in unknown[:10]}, code="unknown"
                )
            if type(data) is dict:
                return self._judge(data)
        return super().to_internal_value(data)

    @cached_property
    def _fields_by_name(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {name: field for name, field in self.fields.items() if not field.read_only}

    @cached_property
    def _always_asked(self) -> list[str]:
        """Fields that have a say even about a body without them."""
        optional = serializers.empty
        return [
            name
            for name, field in self._fields_by_name.items()
            if field.required or field.default is not optional
        ]

    def _judge(self, members: dict[str, Any]) -> dict[str, Any]:
        """What DRF does with a mapping, for fields that are named as their members are."""
        values: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        absent = [name for name in self._always_asked if name not in members]
        for name in (*members, *absent):
            try:
                sent = members.get(name, serializers.empty)
                value = self._fields_by_name[name].run_validation(sent)
                judge = getattr(self, f"validate_{name}", None)
                values[name] = judge(value) if judge else value
            except serializers.ValidationError as error:
                errors[name] = error.detail
            except serializers.SkipField:
                pass
        if errors:
            raise serializers.ValidationError(errors)
        return values


class NothingSerializer(StrictSerializer):
    """A body without members; it may be left out."""


@functools.cache
def _shared(cls: type[StrictSerializer]) -> StrictSerializer:
    return cls()


def _printable(name: str) -> str:
    """A hostile member name is not sent back as it came."""
    return name if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name, re.ASCII) else "non_field_errors"


class QuerySerializer(StrictSerializer):
    """Query parameters: each at most once, none unknown. Give it ``request.query_params``."""

    default_error_messages = {"repeated": "This parameter may appear only once."}

    def to_internal_value(self, data: Any) -> Any:
        if hasattr(data, "getlist"):
            repeated = [name for name in data if len(data.getlist(name)) > 1]
            if repeated:
                message = self.error_messages["repeated"]
                raise serializers.ValidationError(
                    {_printable(name): [message] for name in repeated[:10]}, code="repeated"
                )
            data = data.dict()
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """Text as sent, of bounded length.

    Only a JSON string is taken; NUL, lone surrogates and bidirectional controls are refused, and blanks
    alone where the text may not be empty.
    """

    default_error_messages = {"bidi": "Text with bidirectional controls is not accepted."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        value = super().to_internal_value(data)
        if _BIDI.search(value):
            self.fail("bidi")
        if not self.allow_blank and not value.strip():
            self.fail("blank")
        return value


@extend_schema_field({"type": "string", "pattern": f"^{AMOUNT_TEXT.pattern}$", "example": "50.00"})
class AmountTextField(TextField):
    """An amount's text, above zero; its decimal places are judged where its currency is known."""

    default_error_messages = {
        "invalid": 'Send a decimal string such as "50.00".',
        "zero": "The amount must be above zero.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=32, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or not AMOUNT_TEXT.fullmatch(data):
            self.fail("invalid")
        if not data.strip("0."):
            self.fail("zero")
        return data


@extend_schema_field(OpenApiTypes.UUID)
class CanonicalUUIDField(serializers.Field[uuid.UUID, Any, str, Any]):
    """A UUID in its one canonical form: 36 characters with hyphens (RFC 9562)."""

    default_error_messages = {"invalid": "Send an id of the form 8-4-4-4-12."}

    def to_internal_value(self, data: Any) -> uuid.UUID:
        if not isinstance(data, str) or not _UUID.fullmatch(data):
            self.fail("invalid")
        return uuid.UUID(data)

    def to_representation(self, value: uuid.UUID) -> str:
        return str(value)


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class MetadataField(serializers.Field[dict[str, str], Any, dict[str, str], Any]):
    """A flat map of strings: at most 20 keys of 40 characters, values of at most 500 (as Stripe's)."""

    default_error_messages = {
        "invalid": "Send an object whose values are strings.",
        "too_many": "At most 20 keys.",
        "too_long": "Keys have 1 to 40 characters, values at most 500.",
    }
    _value = TextField(allow_blank=True)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict):
            self.fail("invalid")
        if len(data) > 20:
            self.fail("too_many")
        for key, value in data.items():
            if not isinstance(value, str):
                self.fail("invalid")
            for text in (key, value):
                self._value.run_validation(text)
            if not 1 <= len(key) <= 40 or len(value) > 500:
                self.fail("too_long")
        return dict(data)

    def to_representation(self, value: dict[str, str]) -> dict[str, str]:
        return value


class WholeNumberField(serializers.IntegerField):
    """Decimal digits and nothing else: no sign, blank, underscore or other alphabet's digits."""

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", str(data), re.ASCII):
            self.fail("invalid")
        return super().to_internal_value(data)


class TimeField(serializers.DateTimeField):
    """A moment as RFC 3339 writes it, with its offset: ``2026-01-31T12:00:00Z``."""

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str) or not _RFC3339.fullmatch(value):
            self.fail("invalid", format="2026-01-31T12:00:00Z")
        return super().to_internal_value(value)


class UTCDateTimeField(serializers.DateTimeField):
    """A moment, written as RFC 3339 in UTC ending in ``Z`` with microseconds."""

    def to_representation(self, value: Any) -> Any:
        return None if value is None else format_time(value)
