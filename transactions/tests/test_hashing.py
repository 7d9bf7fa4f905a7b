"""Python and SQL make the same bytes: what the application hashes, PostgreSQL accepts and verifies."""

import datetime
import ipaddress
import uuid
from decimal import Decimal
from typing import Any

import orjson
import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.pq import ExecStatus, Format
from psycopg.types import TypeInfo

from fintech_core.binary import Rows
from transactions.hashing import canonical_metadata, entry_hash, transaction_digest
from transactions.instructions import TransactionRecord
from transactions.rows import transaction_row

pytestmark = pytest.mark.usefixtures("committed")

SAME = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# The columns as ``post_ledger()`` reads them, so that what their way does to a value is judged, too.
DIGESTS = b"""
    SELECT transaction_digest(
        id, kind, amount::numeric, currency, fee::numeric, to_amount::numeric,
        coalesce(to_currency, ''), from_wallet_id, to_wallet_id, parent_id, initiated_by_id,
        idempotency_key, fingerprint, coalesce(request_id, ''), client_address::inet, created_at,
        coalesce(description, ''), coalesce(metadata, '{}'))
    FROM unnest($1::posted_transaction[]) WITH ORDINALITY ORDER BY ordinality
"""

# PostgreSQL's text holds every character but NUL; UTF-8 knows no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
awkward = st.sampled_from(
    [
        "",
        '"',
        "\\",
        "\\u0041",
        "\b\f\n\r\t\v",
        "\x01\x1f\x7f\x80",
        "  ",
        "é",
        "e\u0301",
        "\ufeff",
        "😀",
    ]
)
places = st.integers(0, 4)
addresses = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=4).map(lambda v4: f"::ffff:{v4}"),
    st.ip_addresses(v=4).map(lambda v4: f"::{v4}"),
    st.ip_addresses(v=6).map(lambda v6: v6.exploded.upper()),
    st.sampled_from(["::", "::1", "0.0.0.0", "255.255.255.255", "::ffff:0:0", "64:ff9b::1.2.3.4"]),
)


@st.composite
def amounts(draw: st.DrawFn, *, signed: bool = False) -> Decimal:
    """With the places of some currency, up to the cap; never an exponent."""
    low = -(10**15) + 1 if signed else 0
    return Decimal(draw(st.integers(low, 10**15 - 1))).scaleb(-draw(places))


@st.composite
def records(draw: st.DrawFn) -> TransactionRecord:
    converts = draw(st.booleans())
    return TransactionRecord(
        id=draw(st.uuids()),
        kind=draw(st.sampled_from(["transfer", "conversion", "reversal"])),
        status="posted",
        amount=draw(amounts()),
        currency=draw(st.sampled_from(["USD", "JPY", "KWD"])),
        fee=draw(amounts()),
        to_amount=draw(amounts()) if converts else None,
        to_currency="EUR" if converts else "",
        from_wallet_id=draw(st.uuids()),
        to_wallet_id=draw(st.uuids()),
        parent_id=draw(st.none() | st.uuids()),
        initiated_by_id=draw(st.none() | st.uuids()),
        idempotency_key=draw(st.from_regex(r"\A[!-~]{1,40}( [!-~]{1,10})?\Z")),
        fingerprint=draw(st.binary(min_size=32, max_size=32)),
        request_id=draw(st.from_regex(r"\A[A-Za-z0-9._-]{0,40}\Z")),
        client_address=draw(st.none() | addresses),
        created_at=draw(
            st.datetimes(
                datetime.datetime(1900, 1, 1),  # noqa: DTZ001 - the zone is drawn beside it
                datetime.datetime(9000, 1, 1),  # noqa: DTZ001
                timezones=st.timezones() | st.just(datetime.UTC),
                allow_imaginary=False,
            )
        ),
        description=draw(texts | awkward),
        metadata=draw(st.dictionaries(texts | awkward, texts | awkward, max_size=8)),
    )


def in_sql(query: str, *arguments: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return list(cursor.fetchall())


@SAME
@given(st.lists(records(), min_size=1, max_size=10))
def test_a_transactions_digest_is_the_same_in_sql(drawn: list[TransactionRecord]) -> None:
    connection.ensure_connection()
    session: psycopg.Connection[Any] = connection.connection
    kind = TypeInfo.fetch(session, "posted_transaction")
    assert kind
    rows = Rows("posted_transaction", list(map(transaction_row, drawn))).encoded(kind.oid)
    found = session.pgconn.exec_params(
        DIGESTS, [rows], param_formats=[Format.BINARY], result_format=Format.BINARY
    )
    assert found.status == ExecStatus.TUPLES_OK, found.error_message
    digests = [found.get_value(place, 0) for place in range(found.ntuples)]
    assert digests == [transaction_digest(record) for record in drawn]


@SAME
@given(
    st.lists(
        st.tuples(
            st.binary(max_size=32),
            st.binary(min_size=32, max_size=32),
            st.uuids(),
            st.integers(1, 2**63 - 1),
            st.integers(1, 2**15 - 1),
            amounts(signed=True),
            amounts(signed=True),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_an_entrys_hash_is_the_same_in_sql(
    drawn: list[tuple[bytes, bytes, uuid.UUID, int, int, Decimal, Decimal]],
) -> None:
    for previous, digest, wallet_id, sequence, leg, amount, balance_after in drawn:
        [(found,)] = in_sql(
            "SELECT entry_hash(%s, %s, %s, %s, %s, %s::text::numeric, %s::text::numeric)",
            previous,
            digest,
            wallet_id,
            sequence,
            leg,
            str(amount),
            str(balance_after),
        )
        assert bytes(found) == entry_hash(
            previous,
            digest,
            wallet_id=wallet_id,
            sequence=sequence,
            leg=leg,
            amount=amount,
            balance_after=balance_after,
        )


@SAME
@given(st.dictionaries(texts | awkward, texts | awkward, max_size=20))
def test_metadata_has_one_text_whatever_order_its_keys_came_in(metadata: dict[str, str]) -> None:
    [(text,)] = in_sql("SELECT (%s::jsonb)::text", orjson.dumps(metadata).decode())
    backwards = dict(reversed(metadata.items()))
    assert canonical_metadata(metadata) == canonical_metadata(backwards) == text


def test_an_address_is_hashed_by_its_bytes_not_by_how_it_was_written() -> None:
    for text in ("2001:db8::1", "2001:DB8:0:0:0:0:0:1"):
        [(found,)] = in_sql("SELECT substr(inet_send(%s::inet), 5)", text)
        assert bytes(found) == ipaddress.ip_address("2001:db8::1").packed
