"""What every test stands on: real PostgreSQL and Redis, data that is committed, books that agree."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases
from pytest_django.plugin import DjangoDbBlocker

from fintech_core import calls
from fintech_core.settings import database
from transactions.selectors import list_violations
from transactions.services import posting_group

# The fixture ``simulator``: the simulated provider as a process of its own.
pytest_plugins = ["payments.tests.simulators"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much work tests/model and tests/faults do: a slice of it, unless more is asked for."""
    parser.addoption("--model-operations", type=int, default=2_000)
    parser.addoption("--model-seeds", type=int, default=2)
    parser.addoption("--webhook-deliveries", type=int, default=300)
    parser.addoption("--webhook-seed", type=int, default=1)


def _connect_as(url: str, *, as_owner: bool) -> None:
    connection.close()
    wanted = database(url, as_owner=as_owner)
    connection.settings_dict.update(
        {name: wanted[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "OPTIONS")}
    )


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """The owner makes the test database, as it makes every other; one per worker of pytest-xdist."""
    _connect_as(settings.DATABASE_OWNER_URL, as_owner=True)


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_modify_db_settings: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    """Tests run with the application's own role, with its rights and its timeouts."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False)
        _connect_as(settings.DATABASE_URL, as_owner=False)
        yield
        posting_group.close()
        _connect_as(settings.DATABASE_OWNER_URL, as_owner=True)
        teardown_databases(made, verbosity=0)


@pytest.fixture
def owner(committed: None) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the database's owner, as an operator's psql has it; nothing of it is committed
    unless the test does."""
    connect = connection.get_connection_params() | {"autocommit": False}
    wanted = database(settings.DATABASE_OWNER_URL, as_owner=True)
    connect |= {"user": wanted["USER"], "password": wanted["PASSWORD"] or None}
    for unwanted in ("cursor_factory", "context", "prepare_threshold"):
        connect.pop(unwanted, None)
    with psycopg.connect(**connect) as opened:
        yield opened
        opened.rollback()


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The database, without a transaction around the test and without cleaning up after it.

    The ledger cannot be emptied, and what is tested is what other connections see: so tests commit, each
    with users of its own. Afterwards every invariant holds over all that the tests have made so far.
    """
    with django_db_blocker.unblock():
        yield
        assert list_violations() == []
        # Its session stays, whose plans are warm, unless the test left something in it.
        if connection.in_atomic_block or connection.errors_occurred:
            connections.close_all()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement sent from here on, in order; seen at psycopg and ``calls``, below Django."""
    sent: list[str] = []
    original = psycopg.Cursor.execute
    calling, executing = calls.Trip.call, calls.Trip.execute

    def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else query
        sent.append(text if isinstance(text, str) else text.as_string())
        return original(self, query, *args, **kwargs)

    def call(self: calls.Trip, function: str, values: Any) -> None:
        sent.append(f"SELECT * FROM {function}")
        calling(self, function, values)

    def execute_text(self: calls.Trip, text: bytes) -> None:
        sent.append(text.decode())
        executing(self, text)

    monkeypatch.setattr(psycopg.Cursor, "execute", execute)
    monkeypatch.setattr(calls.Trip, "call", call)
    monkeypatch.setattr(calls.Trip, "execute", execute_text)
    return sent
