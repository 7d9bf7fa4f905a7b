"""The real embedded servers: started, killed, brought back, stopped."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import redis as redis_client

from fintech_core.embedded import identity, redis
from fintech_core.embedded.postgres import APPLICATION, OWNER, EmbeddedPostgres
from fintech_core.embedded.processes import signal_postgres
from fintech_core.embedded.servers import Servers, choose
from tests.launcher.support import data_folder, eventually, process

pytestmark = pytest.mark.smoke


@contextmanager
def servers() -> Iterator[Servers]:
    with data_folder() as folder:
        chosen = choose(folder, _own())
        try:
            yield chosen
        finally:
            chosen.stop()
            if chosen.postgres is not None:
                chosen.postgres.remove()


def _own() -> dict[str, str]:
    """The environment without servers that are given, so that some are embedded."""
    given = {"DATABASE_URL", "REDIS_URL", "FINTECH_ENV"}
    return {name: value for name, value in os.environ.items() if name not in given}


@contextmanager
def started_postgres() -> Iterator[EmbeddedPostgres]:
    with servers() as chosen:
        assert chosen.postgres is not None
        chosen.postgres.start()
        yield chosen.postgres


def ask(postgres: EmbeddedPostgres, statement: str, role: str = OWNER) -> object:
    with psycopg.connect(postgres.url(role), autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
        return row[0] if row else None


def postmaster(postgres: EmbeddedPostgres) -> int:
    process_ = postgres.service.process
    assert process_ is not None
    return process_.pid


def test_postgres_is_durable_and_listens_on_its_socket_alone() -> None:
    with started_postgres() as postgres:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert ask(postgres, f"SHOW {setting}") == "on", setting
        assert ask(postgres, "SHOW listen_addresses") == ""
        assert ask(postgres, "SHOW server_encoding") == "UTF8"
        assert postgres.sockets.stat().st_mode & 0o777 == 0o700


def test_the_application_is_no_superuser_and_owns_nothing() -> None:
    with started_postgres() as postgres:
        rights = (
            "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
            " FROM pg_roles WHERE rolname = current_user"
        )
        assert ask(postgres, rights, APPLICATION) is False
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(postgres, "CREATE TABLE mine ()", APPLICATION)


def test_postgres_comes_back_after_a_kill_of_the_postmaster_with_what_was_committed() -> None:
    with started_postgres() as postgres:
        with psycopg.connect(postgres.url(OWNER), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            os.kill(postmaster(postgres), signal.SIGKILL)
            assert postgres.service.wait(5)
            postgres.service.reap()
            postgres.start()
        assert ask(postgres, "SELECT answer FROM kept") == 42


@pytest.mark.skipif(not identity.HAS_PROC, reason="this system has no /proc")
def test_postgres_comes_back_after_a_kill_of_its_whole_tree() -> None:
    with started_postgres() as postgres:
        signal_postgres(postgres.data, signal.SIGKILL)
        assert postgres.service.wait(5)
        postgres.service.reap()
        postgres.start()
        assert ask(postgres, "SELECT 1") == 1


def test_a_pid_file_with_a_strangers_number_is_no_hindrance() -> None:
    with started_postgres() as postgres, process() as stranger:
        postgres.stop()
        (postgres.data / "postmaster.pid").write_text(f"{stranger.pid}\n{postgres.data}\n")
        postgres.start()
        assert ask(postgres, "SELECT 1") == 1
        assert stranger.poll() is None


def test_a_stopped_postgres_leaves_no_process() -> None:
    with started_postgres() as postgres:
        pid = postmaster(postgres)
        postgres.stop()
        assert not identity.is_alive(pid)
        assert identity.postgres_processes(postgres.data) == []


def test_redis_keeps_its_data_through_a_kill() -> None:
    with servers() as chosen:
        server = chosen.redis
        assert server is not None
        chosen.folder.make_sockets(os.getuid())
        server.start()
        client = redis_client.Redis.from_url(server.cache_url)
        client.set("kept", "42")
        # What was written is in the kernel's hands by now, and a kill takes nothing from there.
        assert server.service.process is not None
        os.kill(server.service.process.pid, signal.SIGKILL)
        assert server.service.wait(5)
        server.service.reap()
        server.start()
        assert eventually(lambda: redis.answers(server.socket))
        assert redis_client.Redis.from_url(server.cache_url).get("kept") == b"42"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
