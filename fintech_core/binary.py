"""Values in PostgreSQL's binary format, as its ``…_recv`` functions read them, in network byte order.

Arrays of rows are the bulk of what a posting sends. As text they are quoted twice here and unquoted
twice there, which took a sixth of PostgreSQL's time for a transfer; psycopg writes them in binary, too,
but takes four times as long as it does here.
"""

import datetime
import functools
import struct
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from psycopg.postgres import types

# What a column without a width takes for NULL.
NULL = b"\xff\xff\xff\xff"

_DAY_ZERO = datetime.date(2000, 1, 1)
_EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_length = struct.Struct("!i").pack
_oid = struct.Struct("!I").pack

int2 = struct.Struct("!h").pack
int8 = struct.Struct("!q").pack


class Encoded(bytes):
    """A whole argument of a call in the binary format."""


class Rows(NamedTuple):
    """Rows of a row type of this database, each made by a ``row_format`` of its columns."""

    type: str
    rows: list[bytes]

    def encoded(self, oid: int) -> Encoded:
        """The array of them; ``oid`` is the type's, which differs from database to database."""
        return _array(oid, self.rows)


def row_format(*columns: str) -> bytes:
    """What ``%`` makes a row of, from a value for each of these columns of built-in types.

    One with a width, such as ``"int8:8"``, takes the bytes, to which blanks are added in front; the
    others take ``sized`` bytes or ``NULL``.
    """
    parts = [_length(len(columns))]
    for column in columns:
        name, _, width = column.partition(":")
        parts.append(_oid(types[name].oid) + (_length(int(width)) if width else b""))
    literal = [part.replace(b"%", b"%%") for part in parts]
    places = [f"%{column.partition(':')[2]}b".encode() for column in columns]
    return literal[0] + b"".join(
        part + place for part, place in zip(literal[1:], places, strict=True)
    )


def sized(value: bytes) -> bytes:
    """The bytes of a value after their number."""
    return _length(len(value)) + value


def text(value: str) -> bytes:
    """A text, sized."""
    data = value.encode()
    return _length(len(data)) + data


def jsonb(value: bytes) -> bytes:
    """A document's JSON text, after the format's version and sized."""
    return sized(b"\x01" + value)


# Of a batch nearly all is dated alike.
@functools.lru_cache(maxsize=100)
def timestamptz(value: datetime.datetime) -> bytes:
    """Microseconds since 2000."""
    return int8((value - _EPOCH) // _MICROSECOND)


@functools.lru_cache(maxsize=100)
def date(value: datetime.date) -> bytes:
    """Days since 2000."""
    return _length((value - _DAY_ZERO).days)


def uuid_array(values: Iterable[UUID]) -> Encoded:
    return _array(types["uuid"].oid, [value.bytes for value in values])


def text_array(values: Iterable[str]) -> Encoded:
    return _array(types["text"].oid, [value.encode() for value in values])


def int8_array(values: Iterable[int]) -> Encoded:
    return _array(types["int8"].oid, [int8(value) for value in values])


def _array(oid: int, elements: list[bytes]) -> Encoded:
    """One dimension from 1 on, without NULLs; an empty array has no dimension."""
    if not elements:
        return Encoded(struct.pack("!iiI", 0, 0, oid))
    head = struct.pack("!iiIii", 1, 0, oid, len(elements), 1)
    return Encoded(head + b"".join([_length(len(each)) + each for each in elements]))
