"""Calls of SQL functions as prepared statements, several in one trip to PostgreSQL.

Django's cursor writes values into a statement's text, which PostgreSQL parses and plans each time; and
each statement waits for its answer, ``BEGIN`` and ``COMMIT`` too. On the paths that every transfer takes
that is most of the cost. Here libpq sends what belongs together at once (its pipeline mode); the
connection and its transaction stay Django's.
"""

import functools
import select
from collections.abc import Iterator, Sequence
from typing import Any, Self
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection
from psycopg import sql
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import Buffer, PGconn, PGresult
from psycopg.types import TypeInfo

from fintech_core.binary import Encoded, Rows

Session = psycopg.Connection[Any]
_FAILED = {ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE}
# The calls that a session has prepared, and the numbers of the row types that it has sent.
_prepared: WeakKeyDictionary[Session, set[bytes]] = WeakKeyDictionary()
_row_types: WeakKeyDictionary[Session, dict[str, int]] = WeakKeyDictionary()


def call(function: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Call a set-returning SQL function and return its rows, as a prepared statement.

    Where a transaction is due it begins in the same trip. Raises Django's database errors.
    """
    session = _open_session()
    with connection.wrap_database_errors:
        values = _Values(session, arguments)
        with Trip(session) as trip:
            if (
                not session.autocommit
                and session.pgconn.transaction_status == TransactionStatus.IDLE
            ):
                trip.execute(b"BEGIN")
            trip.call(function, values)
            result = trip.results()[-1]
        # Spares Django's cursors the query by which they would find out in this request.
        connection.health_check_done = True  # type: ignore[attr-defined]
        transformer = Transformer(session)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)


def _open_session() -> Session:
    """This thread's session; another one where the server ended it since it was last used.

    Not within a transaction: what was done in it is gone, which its owner has to hear.
    """
    connection.ensure_connection()
    if not connection.in_atomic_block and _has_ended(connection.connection):
        connection.close()
        connection.ensure_connection()
    session: Session = connection.connection
    return session


def _has_ended(session: Session) -> bool:
    """Whether it is closed, here or there: who waits for nothing hears only of the end."""
    if session.closed:
        return True
    socket = select.poll()
    socket.register(session.pgconn.socket, select.POLLIN)
    return bool(socket.poll(0))


def call_and_commit(function: str, *arguments: Any) -> None:
    """Call a function as the last of the open transaction, and commit it in the same trip.

    Raises Django's database errors. Where the connection was lost, the commit may have happened.
    """
    session: Session = connection.connection
    with connection.wrap_database_errors:
        values = _Values(session, arguments)
        with Trip(session) as trip:
            trip.call(function, values)
            trip.execute(b"COMMIT")
            trip.results()


def stream(function: str, *arguments: Any) -> Iterator[tuple[Any, ...]]:
    """Call a set-returning SQL function in the open transaction and take its rows as they come.

    Ten thousand are in memory at a time. Raises Django's database errors.
    """
    places = sql.SQL(", ").join(sql.Placeholder() for _ in arguments)
    text = sql.SQL("SELECT * FROM {}({})").format(sql.Identifier(function), places)
    with (
        connection.wrap_database_errors,
        psycopg.ServerCursor(connection.connection, "stream") as cursor,
    ):
        cursor.itersize = 10_000
        cursor.execute(text, arguments, binary=True)
        yield from cursor


class _Values:
    """The arguments of a call as they are sent: rows and what is encoded in binary, all else as text."""

    def __init__(self, session: Session, arguments: Sequence[Any]) -> None:
        encoded = [
            each.encoded(_type_number(session, each.type)) if isinstance(each, Rows) else each
            for each in arguments
        ]
        self.formats = [
            Format.BINARY if isinstance(each, Encoded) else Format.TEXT for each in encoded
        ]
        # To psycopg what is encoded is a ``bytea``, which in binary is just its bytes.
        self.data: Sequence[Buffer | None] = Transformer(session).dump_sequence(
            encoded, [PyFormat.from_pq(each) for each in self.formats]
        )

    def __len__(self) -> int:
        return len(self.data)


def _type_number(session: Session, name: str) -> int:
    """The OID of a row type, which the session asks for once."""
    known = _row_types.setdefault(session, {})
    if name not in known:
        info = TypeInfo.fetch(session, name)
        if info is None:
            raise psycopg.ProgrammingError(f"the database has no type {name}")
        known[name] = info.oid
    return known[name]


class Trip:
    """Statements that are sent together, and their answers; after one that fails none is executed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pgconn: PGconn = session.pgconn
        self._sent: list[bytes | None] = []
        self._has_ended = False

    def __enter__(self) -> Self:
        self._pgconn.enter_pipeline_mode()
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_ended:
            self._pgconn.exit_pipeline_mode()
        else:
            # Answers are still to come, or never will: nothing else may be asked here.
            self._session.close()

    def execute(self, text: bytes) -> None:
        """Send a statement without arguments."""
        self._pgconn.send_query_params(text, None)
        self._sent.append(None)

    def call(self, function: str, values: _Values) -> None:
        """Send a call, and before the session's first one what it is."""
        name, text = _statement(function, len(values))
        prepared = _prepared.setdefault(self._session, set())
        if name not in prepared:
            self._pgconn.send_prepare(name, text)
            self._sent.append(name)
        self._pgconn.send_query_prepared(
            name, values.data, values.formats, result_format=Format.BINARY
        )
        self._sent.append(None)

    def results(self) -> list[PGresult]:
        """All answers; raises the first error among them, once all is read."""
        self._pgconn.pipeline_sync()
        results = list(self._receive())
        for name, result in zip(self._sent, results, strict=True):
            if result.status in _FAILED:
                raise error_from_result(result, encoding=self._session.info.encoding)
            if name:
                # From here on it is there, even if what follows fails and is rolled back.
                _prepared[self._session].add(name)
        return results

    def _receive(self) -> Iterator[PGresult]:
        """The answers up to the end of the trip.

        What is sent may be larger than the socket's buffer: then answers are read while it is written.
        """
        pgconn, socket = self._pgconn, select.poll()
        unsent = pgconn.flush()
        while True:
            while unsent or pgconn.is_busy():
                socket.register(pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
                socket.poll()
                pgconn.consume_input()
                unsent = unsent and pgconn.flush()
            result = pgconn.get_result()
            if result is None:
                if pgconn.status != ConnStatus.OK:
                    raise psycopg.OperationalError(pgconn.get_error_message())
            elif result.status == ExecStatus.PIPELINE_SYNC:
                self._has_ended = True
                return
            else:
                yield result


@functools.cache
def _statement(function: str, arguments: int) -> tuple[bytes, bytes]:
    """The name and the text of a prepared call."""
    places = sql.SQL(", ").join(sql.SQL(f"${number}") for number in range(1, arguments + 1))
    text = sql.SQL("SELECT * FROM {}({})").format(sql.Identifier(function), places)
    return f"{function}/{arguments}".encode(), text.as_bytes()
