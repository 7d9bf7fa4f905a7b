"""Calls of SQL functions in few trips: what a transaction sees, and what is left after an error."""

import datetime
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from psycopg.pq import TransactionStatus

from fintech_core.calls import Trip, call, call_and_commit
from fintech_core.database import exactly_once
from fintech_core.sqlstates import sqlstate_of

HOUR = datetime.timedelta(hours=1)

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def notes(owner: psycopg.Connection[Any]) -> Iterator[None]:
    """``take_note(text)`` writes a line: never "no", and at the commit none twice."""
    owner.autocommit = True
    owner.execute(
        "CREATE TABLE note (line text CHECK (line <> 'no'),"
        " CONSTRAINT told_once UNIQUE (line) DEFERRABLE INITIALLY DEFERRED)"
    )
    owner.execute(
        "CREATE FUNCTION take_note(line text) RETURNS void LANGUAGE sql SECURITY DEFINER"
        " AS 'INSERT INTO public.note VALUES (line)'"
    )
    yield
    owner.execute("DROP FUNCTION take_note(text)")
    owner.execute("DROP TABLE note")


def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each trip took, from here on."""
    made: list[int] = []
    original = Trip.results

    def results(self: Trip) -> Any:
        answers = original(self)
        made.append(len(answers))
        return answers

    monkeypatch.setattr(Trip, "results", results)
    return made


def status() -> TransactionStatus:
    return TransactionStatus(connection.connection.pgconn.transaction_status)


def test_a_call_begins_the_transaction_and_ends_it_in_two_trips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call("abs", -1)
    with transaction.atomic():
        call_and_commit("abs", -1)
    made = trips(monkeypatch)

    def work() -> int:
        [(number,)] = call("abs", -7)
        assert status() == TransactionStatus.INTRANS
        return int(number)

    assert exactly_once(work, finish=lambda _: call_and_commit("abs", -1)) == 7
    assert made == [2, 2], "BEGIN and the call, the call and COMMIT"
    assert status() == TransactionStatus.IDLE


def test_outside_of_a_transaction_a_call_stands_alone() -> None:
    assert call("abs", -3) == [(3,)]
    assert status() == TransactionStatus.IDLE


def test_values_of_all_kinds_arrive_and_come_back() -> None:
    key = uuid.uuid4()
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC)
    assert call("uuid_send", key) == [(key.bytes,)]
    assert call("reverse", 'é\\"b') == [('b"\\é',)]
    assert call("reverse", None) == [(None,)]
    assert call("timestamptz_larger", moment, None) == [(None,)]
    assert call("timestamptz_larger", moment, moment - HOUR) == [(moment,)]
    assert call("numeric_inc", Decimal("-1.50")) == [(Decimal("-0.50"),)]


def test_what_fails_in_a_trip_leaves_nothing_of_it(
    notes: None, owner: psycopg.Connection[Any]
) -> None:
    def work() -> None:
        call("take_note", "first")

    with pytest.raises(IntegrityError):
        exactly_once(work, finish=lambda _: call_and_commit("take_note", "no"))
    assert owner.execute("SELECT line FROM note").fetchall() == []
    # The session goes on, and knows that the call is prepared although its first one failed.
    call("take_note", "second")
    assert status() == TransactionStatus.IDLE


def test_a_commit_that_is_refused_is_told(notes: None) -> None:
    call("take_note", "once")
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        call_and_commit("take_note", "once")
    assert "told_once" in str(refusal.value)
    assert status() == TransactionStatus.IDLE


def test_an_error_has_its_django_class_and_condition_code() -> None:
    with pytest.raises(DataError) as error:
        call("to_date", "2026-13-01", "YYYY-MM-DD")
    assert sqlstate_of(error.value) == "22008"


def end_session(pid: int) -> None:
    with psycopg.connect(settings.DATABASE_OWNER_URL, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_session_that_ended_while_nobody_used_it_is_replaced() -> None:
    [(pid,)] = call("pg_backend_pid")
    end_session(pid)
    [(another,)] = call("pg_backend_pid")
    assert another != pid


def test_a_session_that_ends_within_a_transaction_is_told_and_the_next_call_has_a_new_one() -> None:
    seen: list[int] = []

    def work() -> None:
        [(pid,)] = call("pg_backend_pid")
        seen.append(pid)
        end_session(pid)
        call("pg_backend_pid")

    with pytest.raises(OperationalError):
        transaction.atomic(work)()
    [(another,)] = call("pg_backend_pid")
    assert another not in seen


def test_a_trip_that_is_broken_off_gives_up_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of another question would come first."""

    def interrupted(_: Trip) -> Any:
        raise KeyboardInterrupt

    call("abs", -1)
    session = connection.connection
    with monkeypatch.context() as patch:
        patch.setattr(Trip, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call("abs", -2)
    assert session.closed
    assert call("abs", -3) == [(3,)]


def test_more_is_sent_and_answered_than_a_socket_holds() -> None:
    text = "x" * 20_000_000
    assert call("upper", text) == [(text.upper(),)]
