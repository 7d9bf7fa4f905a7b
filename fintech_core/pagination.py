"""Keyset pages: newest first, stable while rows are added, no counting and no offsets.

A cursor holds the direction and the last key seen. It is not secret: it selects a place in a list that
is filtered for its caller anyway.
"""

import base64
import binascii
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.exceptions import InvalidCursor
from fintech_core.serializers import WholeNumberField

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

T = TypeVar("T", bound=Model)


class PageQueryMixin(metaclass=serializers.SerializerMetaclass):
    """The two query parameters that every list takes."""

    cursor = serializers.CharField(required=False, max_length=200)
    page_size = WholeNumberField(
        required=False, min_value=1, max_value=MAX_PAGE_SIZE, default=DEFAULT_PAGE_SIZE
    )


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list: rows ``after`` the key going to older ones, or before it to newer ones."""

    key: Any
    newer: bool = False

    def encode(self) -> str:
        text = f"{'n' if self.newer else 'o'}:{self.key}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, parse_key: Callable[[str], Any]) -> "Cursor":
        """Raises ``InvalidCursor`` for anything that ``encode()`` did not make."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            direction, _, key = (
                base64.b64decode(padded, b"-_", validate=True).decode().partition(":")
            )
            if direction not in {"n", "o"}:
                raise InvalidCursor
            cursor = cls(parse_key(key), newer=direction == "n")
        except (ValueError, binascii.Error, UnicodeError):
            raise InvalidCursor from None
        if cursor.encode() != text:
            raise InvalidCursor
        return cursor


def whole_number(text: str) -> int:
    """The key of a list ordered by a bigint."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(text[:20])
    return int(text)


def paginate(
    queryset: QuerySet[T],
    request: Request,
    *,
    query: dict[str, Any],
    key: str = "id",
    parse_key: Callable[[str], Any] = uuid.UUID,
    represent: Callable[[Sequence[T]], list[Any]],
) -> Response:
    """One page of the queryset, newest (largest key) first, with links to its neighbours.

    ``query`` is validated by a serializer with ``PageQueryMixin``.
    """
    size: int = query["page_size"]
    cursor = Cursor.decode(query["cursor"], parse_key) if "cursor" in query else None
    rows, has_newer, has_older = _page(queryset, cursor, size, key)
    links: dict[str, str | None] = {"next": None, "previous": None}
    if rows and has_older:
        links["next"] = page_link(request, Cursor(getattr(rows[-1], key)))
    if rows and has_newer:
        links["previous"] = page_link(request, Cursor(getattr(rows[0], key), newer=True))
    return Response({"results": represent(rows), **links})


def _page(
    queryset: QuerySet[T], cursor: Cursor | None, size: int, key: str
) -> tuple[list[T], bool, bool]:
    if cursor is not None and cursor.newer:
        rows = list(queryset.filter(**{f"{key}__gt": cursor.key}).order_by(key)[: size + 1])
        return rows[:size][::-1], len(rows) > size, True
    if cursor is not None:
        queryset = queryset.filter(**{f"{key}__lt": cursor.key})
    rows = list(queryset.order_by(f"-{key}")[: size + 1])
    return rows[:size], cursor is not None, len(rows) > size


def page_link(request: Request, cursor: Cursor) -> str:
    """The URL of the same list at another place."""
    parameters = request.query_params.copy()
    parameters["cursor"] = cursor.encode()
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")


def page_of(item: type[serializers.BaseSerializer[Any]], name: str) -> serializers.Serializer[Any]:
    """The schema of a page of such items, for the API's documentation."""
    from drf_spectacular.utils import inline_serializer

    return inline_serializer(
        name,
        {
            "results": item(many=True),
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
        },
    )
