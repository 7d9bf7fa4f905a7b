"""Statements as JSON, CSV and PDF: made piece by piece, so that none is ever held whole."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import orjson
from django.utils import timezone
from rest_framework import serializers

from fintech_core.money import format_amount
from fintech_core.serializers import QuerySerializer, UTCDateTimeField, format_time
from transactions.models import TransactionKind
from transactions.selectors import Statement, StatementLine
from transactions.serializers.history import DayField
from transactions.serializers.statement_pdf import render_pdf

# The columns of a statement in CSV; they may become more, at the end, and never fewer.
CSV_COLUMNS = (
    *("row", "sequence", "created_at", "kind", "transaction", "reference", "counterparty"),
    *("description", "amount", "balance_after", "currency"),
)
# Lines in a piece of JSON or CSV.
_PIECE = 500
# What a spreadsheet takes for a formula when a cell begins with it (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")


class StatementQuery(QuerySerializer):
    """Query parameters of a statement: two UTC days, both of which count, none of them to come."""

    format = serializers.ChoiceField(("json", "csv", "pdf"), default="json")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        days = {
            "from": DayField(help_text="The first UTC day."),
            "to": DayField(help_text="The last UTC day, today at the latest."),
        }
        return {**days, **super().get_fields()}

    def validate(self, attrs: Any) -> Any:
        if attrs["from"] > attrs["to"]:
            raise serializers.ValidationError({"to": ["This is before the first day."]}, "order")
        if attrs["to"] > timezone.now().date():
            raise serializers.ValidationError({"to": ["This day has not come yet."]}, "future")
        return attrs


class StatementLineSerializer(serializers.Serializer[StatementLine]):
    """One entry of a statement."""

    sequence = serializers.IntegerField()
    created_at = UTCDateTimeField()
    kind = serializers.ChoiceField(TransactionKind.choices)
    transaction = serializers.UUIDField()
    reference = serializers.CharField()
    counterparty = serializers.EmailField(allow_null=True)
    description = serializers.CharField(allow_blank=True)
    amount = serializers.CharField(help_text="Signed: negative is what left the wallet.")
    balance_after = serializers.CharField()


class StatementSerializer(serializers.Serializer[Statement]):
    """A statement in JSON; ``closing_balance`` comes after the entries and ends it."""

    wallet = serializers.UUIDField()
    currency = serializers.CharField()
    opening_balance = serializers.CharField()
    entries = StatementLineSerializer(many=True)
    closing_balance = serializers.CharField()
    as_of_sequence = serializers.IntegerField(help_text="The last entry that is counted.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        days = {"from": serializers.DateField(), "to": serializers.DateField()}
        return {**days, **super().get_fields()}


def render_statement(statement: Statement, form: str) -> tuple[str, Iterator[bytes]]:
    """The media type, and the pieces that make up the whole."""
    media_type, render = _FORMS[form]
    return media_type, render(statement)


def _render_json(statement: Statement) -> Iterator[bytes]:
    text = _amounts(statement)
    head = {
        "wallet": str(statement.wallet.pk),
        "currency": statement.wallet.currency,
        "from": statement.first_day.isoformat(),
        "to": statement.last_day.isoformat(),
        "opening_balance": text(statement.opening_balance),
    }
    yield orjson.dumps(head)[:-1] + b',"entries":['
    separator = b""
    for lines in _batches(statement.lines()):
        yield separator + b",".join(orjson.dumps(_line(line, text)) for line in lines)
        separator = b","
    tail = {
        "closing_balance": text(statement.closing_balance),
        "as_of_sequence": statement.closing_sequence,
    }
    yield b"]," + orjson.dumps(tail)[1:]


def _line(line: StatementLine, text: Callable[[Decimal], str]) -> dict[str, Any]:
    return {
        "sequence": line.sequence,
        "created_at": format_time(line.created_at),
        "kind": line.kind,
        "transaction": str(line.transaction_id),
        "reference": line.reference,
        "counterparty": line.counterparty,
        "description": line.description,
        "amount": text(line.amount),
        "balance_after": text(line.balance_after),
    }


def _render_csv(statement: Statement) -> Iterator[bytes]:
    """RFC 4180: a header, the opening balance, the entries, and the closing balance as the last row."""
    currency, text = statement.wallet.currency, _amounts(statement)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, restval="")

    def made() -> bytes:
        piece = buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
        return piece

    writer.writeheader()
    writer.writerow(
        {
            "row": "opening",
            "sequence": statement.opening_sequence,
            "created_at": statement.first_day.isoformat(),
            "balance_after": text(statement.opening_balance),
            "currency": currency,
        }
    )
    yield made()
    for lines in _batches(statement.lines()):
        for line in lines:
            cells = _line(line, text)
            for name in ("counterparty", "description"):
                cells[name] = _inert(cells[name] or "")
            writer.writerow({"row": "entry", **cells, "currency": currency})
        yield made()
    writer.writerow(
        {
            "row": "closing",
            "sequence": statement.closing_sequence,
            "created_at": statement.last_day.isoformat(),
            "balance_after": text(statement.closing_balance),
            "currency": currency,
        }
    )
    yield made()


def _inert(text: str) -> str:
    """Text that no spreadsheet computes: an apostrophe stands before what would begin a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _amounts(statement: Statement) -> Callable[[Decimal], str]:
    return lambda amount: format_amount(amount, statement.wallet.currency)


def _batches(lines: Iterable[StatementLine]) -> Iterator[list[StatementLine]]:
    iterator = iter(lines)
    while batch := list(islice(iterator, _PIECE)):
        yield batch


_FORMS: dict[str, tuple[str, Callable[[Statement], Iterator[bytes]]]] = {
    "json": ("application/json", _render_json),
    "csv": ("text/csv; charset=utf-8; header=present", _render_csv),
    "pdf": ("application/pdf", render_pdf),
}
