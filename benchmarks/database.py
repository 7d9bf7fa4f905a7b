"""The one PostgreSQL that all candidates share: a database for each, and what a turn cost in it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
TOLD = ("server_version", "shared_buffers", "max_wal_size", "max_connections", *DURABLE)
# Connections that a turn leaves to others: the server's own, the runner's, autovacuum's neighbours.
SPARE = 6


class NotDurable(RuntimeError):
    """The server may lose what it has acknowledged, so that no figure of it means anything."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """How large a database is, and how far the server's write-ahead log has come; both in bytes."""

    stored: int
    wal: int


class Server:
    """PostgreSQL as its owner sees it. Databases made here are dropped before they are made again."""

    def __init__(self, owner_url: str, application_url: str) -> None:
        self._owner_url = owner_url
        self._application_url = application_url
        self._connection = psycopg.connect(owner_url, autocommit=True)

    @classmethod
    def of_environment(cls) -> "Server":
        """The server that ``DATABASE_OWNER_URL`` and ``DATABASE_URL`` name."""
        application = os.environ.get("DATABASE_URL", "")
        if not application:
            raise SystemExit(
                "There is no DATABASE_URL. Run: python3 dev.py with-servers --temporary --"
                " .venv/bin/python -m benchmarks"
            )
        return cls(os.environ.get("DATABASE_OWNER_URL") or application, application)

    def close(self) -> None:
        self._connection.close()

    def require_durable(self) -> dict[str, str]:
        """What the server is set to. Raises ``NotDurable`` unless every commit survives a crash."""
        told = {name: self._one(f"SHOW {name}") for name in TOLD}
        lax = [name for name in DURABLE if told[name] != "on"]
        if lax:
            raise NotDurable(f"{', '.join(lax)} must be on")
        return {name: str(value) for name, value in told.items()}

    def create(self, name: str) -> None:
        """Make an empty database with this name."""
        database = sql.Identifier(name)
        self._connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database)
        )
        self._connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(database))

    def drop(self, name: str) -> None:
        """Remove a database and whoever is connected to it."""
        self._connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def owner_url(self, database: str) -> str:
        return _with_database(self._owner_url, database)

    def application_url(self, database: str) -> str:
        return _with_database(self._application_url, database)

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the owner's that commits each statement."""
        return psycopg.connect(self.owner_url(database), autocommit=True)

    def footprint(self, database: str) -> Footprint:
        stored = self._connection.execute("SELECT pg_database_size(%s)", [database]).fetchone()
        wal = self._one("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        return Footprint(int(str(stored[0] if stored else 0)), int(str(wal)))

    def free_connections(self) -> int:
        """How many more clients may connect now."""
        limit = int(str(self._one("SHOW max_connections")))
        reserved = int(str(self._one("SHOW superuser_reserved_connections")))
        taken = self._one(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        return limit - reserved - int(str(taken)) - SPARE

    def checkpoint(self) -> None:
        """Write everything down, so that set-up work is no part of the first turns."""
        self._connection.execute("CHECKPOINT")

    def program(self, name: str) -> Path | None:
        """A PostgreSQL program: beside the server's own, or else on PATH."""
        folder = self._one("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        beside = Path(str(folder)) / name
        if os.access(beside, os.X_OK):
            return beside
        found = shutil.which(name)
        return Path(found) if found else None

    def _one(self, query: str) -> object:
        row = self._connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def _with_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
