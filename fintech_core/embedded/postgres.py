"""The embedded PostgreSQL: made once, started on a private socket, brought back after any kill.

Durability is never traded for speed here: fsync, synchronous_commit and full_page_writes are on and
pages carry checksums, so that what was acknowledged is there after a crash.
"""

import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from fintech_core.embedded import identity
from fintech_core.embedded.binaries import Postgres, data_major
from fintech_core.embedded.folders import DataFolder, make_private
from fintech_core.embedded.interruption import pause
from fintech_core.embedded.messages import LaunchError, last_lines
from fintech_core.embedded.privileges import NOBODY, Mode, can, choose
from fintech_core.embedded.processes import Service, finish, signal_postgres

DATABASE = "fintech_core"
OWNER = "fintech_owner"
APPLICATION = "fintech_app"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # One for each of the web server's threads (2 processes of 32), and room for workers and operators.
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "max_wal_size": "1GB",
    "deadlock_timeout": "200ms",
    "client_connection_check_interval": "1s",
    "log_min_duration_statement": "500ms",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %u ",
    "timezone": "UTC",
}
# After a kill -9 the old server's processes and shared memory live on for a second or two.
START_TRIES = 6
READY_SECONDS = 60.0
NOBODY_PARENT = Path("/var/tmp")


class EmbeddedPostgres:
    """One PostgreSQL server over one data folder."""

    def __init__(self, folder: DataFolder, server: Postgres) -> None:
        self.folder = folder
        self.sockets = folder.sockets
        self.mode = choose(folder.path, server.folder / "postgres")
        self.data = folder.path / "postgres"
        self.server = server
        if self.mode is Mode.NOBODY:
            self._move_to_nobody()
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        self.service = Service(
            name="PostgreSQL",
            command=[
                self.server.folder / "postgres",
                "-D",
                self.data,
                "-k",
                self.sockets,
                *options,
            ],
            environment=_environment(),
            log=folder.log("postgres"),
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
            mode=self.mode,
            folder=Path("/"),
        )

    def url(self, role: str) -> str:
        """A connection URL for one of the two roles; the socket's folder stands as the host."""
        return f"postgres://{role}@{quote(str(self.sockets), safe='')}/{DATABASE}"

    def start(self) -> None:
        """Start the server and wait until it answers; the database and its roles exist then."""
        self.folder.make_sockets(self.mode.owner)
        if data_major(self.data) is None:
            self._make_cluster()
        for left in reversed(range(START_TRIES)):
            self._wait_for_predecessor()
            self.service.spawn()
            if self._becomes_ready():
                break
            self.service.reap()
            if not left:
                raise LaunchError(f"PostgreSQL does not start:\n{last_lines(self.service.log)}")
            pause(0.5)
        self._make_database()

    def stop(self, seconds: float = 4.0) -> None:
        """Stop the server: fast, then at once, and leave no process of it."""
        self.service.signal(signal.SIGINT)
        if not self.service.wait(seconds):
            self.service.signal(signal.SIGQUIT)
            self.service.wait(2.0)
        self.service.reap()
        signal_postgres(self.data, signal.SIGKILL)

    def remove(self) -> None:
        """Remove what lies outside of the data folder; for temporary servers."""
        if self.mode is Mode.NOBODY:
            shutil.rmtree(self.data.parent, ignore_errors=True)

    def _move_to_nobody(self) -> None:
        """Keep the data, and the programs where they cannot be read, in a folder of nobody's."""
        if data_major(self.data) is not None:
            raise LaunchError(
                f"The database in {self.data} belongs to root, and this machine no longer lets root"
                " enter a user namespace to run PostgreSQL on it. Run as an ordinary user, or set"
                " DATABASE_URL."
            )
        home = NOBODY_PARENT / self.folder.name
        make_private(home, NOBODY)
        self.data = home / "postgres"
        if can(self.mode, read=home, execute=self.server.folder / "initdb"):
            return
        package = self.server.folder.parent.parent
        libraries = package.parent / f"{package.name}.libs"
        if not libraries.is_dir():
            raise LaunchError(
                "PostgreSQL cannot run as root, and the user nobody cannot read"
                f" {self.server.folder}. Run as an ordinary user, or set DATABASE_URL."
            )
        copies = home / f"programs-{self.server.version}"
        for source in (package, libraries):
            shutil.copytree(source, copies / source.name, symlinks=True, dirs_exist_ok=True)
        self.server = self.server._replace(folder=copies / package.name / "pginstall" / "bin")

    def _make_cluster(self) -> None:
        """Run initdb beside the final place, so that a killed one leaves no half-made database."""
        fresh = self.data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        options = ["--locale=C", "--encoding=UTF8", "--data-checksums"]
        options += ["--auth-local=trust", "--auth-host=reject", f"--username={OWNER}"]
        initdb = replace(
            self.service,
            name="initdb",
            command=[self.server.folder / "initdb", "-D", fresh, *options],
        )
        if finish(initdb) != 0:
            raise LaunchError(f"initdb failed:\n{last_lines(self.service.log)}")
        fresh.rename(self.data)

    def _wait_for_predecessor(self, patience: float = 4.0) -> None:
        """Wait until no process of an earlier server is left, ending those that stay; no stranger.

        An earlier postmaster was told to stop when its launcher died; orphans of a killed one leave
        as soon as they notice, unless they are inside a long statement.
        """
        for number in (None, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if number is not None:
                signal_postgres(self.data, number)
            deadline = time.monotonic() + patience
            while self._predecessor_lives():
                if time.monotonic() > deadline:
                    break
                pause()
            else:
                break
        else:
            raise LaunchError(f"Another PostgreSQL runs on {self.data}, and does not end.")
        self._forget_predecessor()

    def _predecessor_lives(self) -> bool:
        if identity.postgres_processes(self.data):
            return True
        pid = _pid_in(self.data / "postmaster.pid")
        return pid is not None and identity.is_postgres_of(pid, self.data)

    def _forget_predecessor(self) -> None:
        """Remove pid files whose number may be a stranger's by now: PostgreSQL would not start."""
        for path in (self.data / "postmaster.pid", self.sockets / ".s.PGSQL.5432.lock"):
            path.unlink(missing_ok=True)

    def _becomes_ready(self) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and not self.service.has_ended():
            try:
                with self._connect("postgres"):
                    return True
            except psycopg.OperationalError:
                pause(0.05)
        return False

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.sockets),
            user=OWNER,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def _make_database(self) -> None:
        """The application's role and the database, where they are missing."""
        with self._connect("postgres") as connection:
            if not connection.execute(
                "SELECT FROM pg_roles WHERE rolname = %s", [APPLICATION]
            ).rowcount:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(APPLICATION))
                )
            if not connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
            ).rowcount:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                        sql.Identifier(DATABASE), sql.Identifier(OWNER)
                    )
                )


def _environment() -> Mapping[str, str]:
    """PG* variables of the caller point at other servers; the locale must exist everywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LANG": "C", "LC_ALL": "C"}


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def written_by(folder: DataFolder) -> int | None:
    """The major version that wrote an instance's data, wherever it lies; ``None`` without any."""
    places = (folder.path, NOBODY_PARENT / folder.name)
    return next(filter(None, (data_major(place / "postgres") for place in places)), None)


def reachable(url: str) -> None:
    """Raise ``LaunchError`` in plain words where no database answers at a URL."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        raise LaunchError(f"No database answers at DATABASE_URL: {_plain(error)}") from error
    except psycopg.ProgrammingError:
        # Options that only dj-database-url understands; Django will say if they are wrong.
        return


def _plain(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0]
