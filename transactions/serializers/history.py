"""What a client may ask of histories: which transactions and entries, of which time."""

import datetime
import re
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.money import AMOUNT_TEXT, InvalidMoney, Money
from fintech_core.pagination import PageQueryMixin
from fintech_core.serializers import CanonicalUUIDField, QuerySerializer, TextField, TimeField
from transactions.models import TransactionKind
from transactions.selectors import HistoryFilter
from transactions.serializers.fields import CurrencyField

# Every status a client may ask for.
STATUSES = ("posted", "pending", "declined", "voided", "expired")

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class DayField(serializers.DateField):
    """A day as ISO 8601's extended format writes it, and nothing else: ``2026-01-31``."""

    def to_internal_value(self, value: Any) -> datetime.date:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            self.fail("invalid", format="YYYY-MM-DD")
        return super().to_internal_value(value)


@extend_schema_field({"type": "string", "example": "2026-01-31"})
class BoundField(serializers.Field[datetime.datetime, Any, str, Any]):
    """One end of a span of time: a moment (RFC 3339), or a UTC day, of which all counts.

    Becomes the moment at which the span begins, or before which it ends.
    """

    _day, _moment = DayField(), TimeField()

    def __init__(self, *, is_end: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._is_end = is_end

    def to_internal_value(self, data: Any) -> datetime.datetime:
        if isinstance(data, str) and len(data) > 10:
            moment: datetime.datetime = self._moment.run_validation(data)
            length = datetime.timedelta(microseconds=1)
        else:
            day = self._day.run_validation(data)
            moment = datetime.datetime.combine(day, datetime.time(), tzinfo=datetime.UTC)
            length = datetime.timedelta(days=1)
        if not self._is_end:
            return moment
        latest = datetime.datetime.max.replace(tzinfo=datetime.UTC)
        return moment + length if moment < latest - length else latest


class SpanQuery(QuerySerializer):
    """``from`` and ``to``, which are words of Python and so cannot be declared as members."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        span = {
            "from": BoundField(required=False, is_end=False, help_text="A UTC day or a moment."),
            "to": BoundField(required=False, is_end=True, help_text="The same; it counts in full."),
        }
        return {**super().get_fields(), **span}

    def validate(self, attrs: Any) -> Any:
        if "from" in attrs and "to" in attrs and attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"to": ["This is before the beginning."]}, "order")
        return attrs


@extend_schema_field({"type": "string", "pattern": f"^{AMOUNT_TEXT.pattern}$", "example": "50.00"})
class BoundAmountField(TextField):
    """One end of a range of amounts, as text; zero is allowed."""

    default_error_messages = {"invalid": 'Send a decimal string such as "50.00".'}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or len(data) > 32 or not AMOUNT_TEXT.fullmatch(data):
            self.fail("invalid")
        return data


class EntryPageQuery(PageQueryMixin, SpanQuery):
    """Query parameters of a wallet's entries."""


class TransactionPageQuery(PageQueryMixin, SpanQuery):
    """Query parameters of the history."""

    kind = serializers.ChoiceField(TransactionKind.choices, required=False)
    status = serializers.ChoiceField(STATUSES, required=False)
    direction = serializers.ChoiceField(("in", "out"), required=False)
    wallet = CanonicalUUIDField(required=False)
    currency = CurrencyField(required=False)
    min_amount = BoundAmountField(required=False)
    max_amount = BoundAmountField(required=False)
    q = TextField(
        required=False,
        min_length=1,
        max_length=100,
        help_text="Part of the description, the beginning of the other side's email address, "
        "or a whole reference or id.",
    )

    def validate(self, attrs: Any) -> Any:
        attrs = super().validate(attrs)
        for name in ("min_amount", "max_amount"):
            if name in attrs:
                attrs[name] = _amount(attrs[name], attrs.get("currency"), name)
        if "min_amount" in attrs and attrs["min_amount"] > attrs.get("max_amount", Decimal("inf")):
            raise serializers.ValidationError(
                {"max_amount": ["This is less than the least."]}, "order"
            )
        return attrs

    @staticmethod
    def filter_of(values: dict[str, Any]) -> HistoryFilter:
        """What the validated query asks for."""
        return HistoryFilter(
            wallet_id=values.get("wallet"),
            direction=values.get("direction"),
            since=values.get("from"),
            before=values.get("to"),
            kind=values.get("kind"),
            status=values.get("status"),
            currency=values.get("currency"),
            min_amount=values.get("min_amount"),
            max_amount=values.get("max_amount"),
            text=values.get("q"),
        )


def _amount(text: str, currency: str | None, name: str) -> Decimal:
    """The amount, of no more places than its currency has; where none is given, any currency's."""
    try:
        return Money.parse(text, currency or "CLF").amount
    except InvalidMoney as error:
        told = str(error) if currency else "At most 4 decimal places."
        raise serializers.ValidationError({name: [told]}, "invalid") from None
