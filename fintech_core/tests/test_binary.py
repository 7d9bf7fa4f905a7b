"""Values in PostgreSQL's binary format are the values that were given."""

import datetime
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest
from django.db import DatabaseError, DataError, ProgrammingError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fintech_core import binary
from fintech_core.binary import NULL, Rows, row_format, sized
from fintech_core.calls import call

pytestmark = pytest.mark.usefixtures("committed", "samples")

COLUMNS = {
    "a": "uuid",
    "b": "int2",
    "c": "int8",
    "d": "text",
    "e": "bytea",
    "f": "jsonb",
    "g": "timestamptz",
    "h": "date",
}
SIZED = row_format(*COLUMNS.values())
WIDE = row_format(
    "uuid:16", "int2:2", "int8:8", "text", "bytea", "jsonb", "timestamptz:8", "date:4"
)


@pytest.fixture
def samples(owner: psycopg.Connection[Any]) -> Iterator[None]:
    """Functions that return what they are given."""
    owner.autocommit = True
    owner.execute(f"CREATE TYPE sample AS ({', '.join(map(' '.join, COLUMNS.items()))})")
    for function, element in (
        ("samples", "sample"),
        ("texts", "text"),
        ("uuids", "uuid"),
        ("numbers", "int8"),
    ):
        owner.execute(
            f"CREATE FUNCTION {function}(given {element}[]) RETURNS SETOF {element}"
            " LANGUAGE sql AS 'SELECT * FROM unnest(given)'"
        )
    yield
    # The session knows the type by its number, which the next one of that name does not have.
    connection.close()
    owner.execute("DROP FUNCTION samples, texts, uuids, numbers")
    owner.execute("DROP TYPE sample")


# PostgreSQL's text holds every character but NUL; UTF-8 knows no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
rows = st.tuples(
    st.uuids(),
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**63), 2**63 - 1),
    texts,
    st.binary(max_size=80),
    st.dictionaries(texts, texts, max_size=3),
    st.datetimes(timezones=st.just(datetime.UTC)),
    st.dates(),
)
each = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def wide(row: tuple[Any, ...]) -> bytes:
    number, small, large, text, data, document, moment, day = row
    return WIDE % (
        number.bytes,
        binary.int2(small),
        binary.int8(large),
        binary.text(text),
        sized(data),
        binary.jsonb(orjson.dumps(document)),
        binary.timestamptz(moment),
        binary.date(day),
    )


def in_sizes(row: tuple[Any, ...]) -> bytes:
    number, small, large, text, data, document, moment, day = row
    return SIZED % (
        sized(number.bytes),
        sized(binary.int2(small)),
        sized(binary.int8(large)),
        binary.text(text),
        sized(data),
        binary.jsonb(orjson.dumps(document)),
        sized(binary.timestamptz(moment)),
        sized(binary.date(day)),
    )


@each
@given(st.lists(rows, max_size=5), st.sampled_from([wide, in_sizes]))
def test_rows_arrive_and_come_back(drawn: list[tuple[Any, ...]], encoded: Any) -> None:
    assert call("samples", Rows("sample", [encoded(row) for row in drawn])) == drawn


def test_a_column_may_be_null() -> None:
    nothing = SIZED % ((NULL,) * len(COLUMNS))
    assert call("samples", Rows("sample", [nothing])) == [(None,) * len(COLUMNS)]


def test_a_text_fills_its_width_from_the_right() -> None:
    row = row_format(*("text:6" if name == "text" else name for name in COLUMNS.values()))
    values = [b"1.50" if name == "text" else NULL for name in COLUMNS.values()]
    [found] = call("samples", Rows("sample", [row % tuple(values)]))
    assert found == (None, None, None, "  1.50", None, None, None, None)


def test_a_text_beyond_its_width_is_no_row_at_all() -> None:
    row = row_format(*("text:6" if name == "text" else name for name in COLUMNS.values()))
    values = [b"1234.50" if name == "text" else NULL for name in COLUMNS.values()]
    with pytest.raises(DatabaseError), transaction.atomic():
        call("samples", Rows("sample", [row % tuple(values)]))


@each
@given(st.lists(texts), st.lists(st.uuids()), st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_arrays_arrive_and_come_back(words: Any, ids: Any, numbers: Any) -> None:
    assert [word for (word,) in call("texts", binary.text_array(words))] == words
    assert [key for (key,) in call("uuids", binary.uuid_array(ids))] == ids
    assert [number for (number,) in call("numbers", binary.int8_array(numbers))] == numbers


def test_a_text_that_postgresql_cannot_hold_is_an_error_of_django() -> None:
    with pytest.raises(DataError), transaction.atomic():
        call("texts", binary.text_array(["\0"]))


def test_a_type_that_is_not_there_is_an_error_of_django() -> None:
    with pytest.raises(ProgrammingError, match="no type nowhere"), transaction.atomic():
        call("samples", Rows("nowhere", [b""]))
