"""What the launcher tells the processes it starts."""

import dj_database_url
import pytest

from fintech_core.embedded.binaries import Postgres, Redis
from fintech_core.embedded.folders import DataFolder
from fintech_core.embedded.postgres import EmbeddedPostgres
from fintech_core.embedded.privileges import Mode
from fintech_core.embedded.redis import EmbeddedRedis
from fintech_core.embedded.servers import Servers, choose, compose
from tests.launcher.support import data_folder

pytestmark = pytest.mark.usefixtures("any_user")
REAL_DATABASE = "postgres://me@db.example/wallets"


@pytest.fixture
def any_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run here, so it does not matter as whom."""
    monkeypatch.setattr("fintech_core.embedded.postgres.choose", lambda *_: Mode.PLAIN)


def embedded(folder: DataFolder) -> Servers:
    return Servers(
        folder,
        EmbeddedPostgres(folder, Postgres(folder.path, 15, "15.0")),
        EmbeddedRedis(folder, Redis(folder.path, "Redis", "7.0")),
    )


def test_the_embedded_servers_are_named_by_their_sockets() -> None:
    with data_folder() as folder:
        composed = compose({}, embedded(folder))
        application = dj_database_url.parse(composed["DATABASE_URL"])
        owner = dj_database_url.parse(composed["DATABASE_OWNER_URL"])
        assert application.get("HOST") == owner.get("HOST") == str(folder.sockets)
        assert (application.get("USER"), owner.get("USER")) == ("fintech_app", "fintech_owner")
        assert composed["REDIS_URL"] == f"unix://{folder.sockets}/redis.sock?db=0"
        assert composed["BROKER_URL"].endswith("/redis.sock?virtual_host=1")


def test_without_being_told_it_is_development_with_secrets_of_its_own() -> None:
    with data_folder() as folder:
        composed = compose({}, embedded(folder))
        assert composed["FINTECH_ENV"] == "development"
        assert len(composed["SECRET_KEY"]) >= 64
        assert "DEBUG" not in composed


def test_given_secrets_are_kept() -> None:
    with data_folder() as folder:
        assert compose({"SECRET_KEY": "mine"}, embedded(folder))["SECRET_KEY"] == "mine"


def test_the_demo_is_only_on_with_the_embedded_database() -> None:
    with data_folder() as folder:
        assert compose({}, embedded(folder), demo=True)["FINTECH_DEMO"] == "true"
        given = {"DATABASE_URL": REAL_DATABASE, "FINTECH_DEMO": "true"}
        assert "FINTECH_DEMO" not in compose(given, Servers(folder, None, None), demo=True)


def test_a_given_database_is_left_as_it_is() -> None:
    with data_folder() as folder:
        given = {"DATABASE_URL": REAL_DATABASE, "REDIS_URL": "redis://cache.example/0"}
        servers = choose(folder, given)
        assert (servers.postgres, servers.redis) == (None, None)
        composed = compose(given, servers)
        assert composed["DATABASE_URL"] == REAL_DATABASE
        assert "DATABASE_OWNER_URL" not in composed
        assert "BROKER_URL" not in composed


def test_production_gets_nothing_made_up() -> None:
    with data_folder() as folder:
        given = {"FINTECH_ENV": "production", "DEBUG": "true"}
        servers = choose(folder, given)
        assert (servers.postgres, servers.redis) == (None, None)
        composed = compose(given, servers, demo=True)
        assert composed["FINTECH_ENV"] == "production"
        assert composed["DEBUG"] == "true"
        assert not {"SECRET_KEY", "DATABASE_URL", "FINTECH_DEMO"} & composed.keys()
        assert not (folder.path / "secrets.json").exists()


@pytest.mark.parametrize("environment", [{}, {"FINTECH_ENV": "production"}])
def test_no_process_is_told_to_act_as_the_owner(environment: dict[str, str]) -> None:
    with data_folder() as folder:
        given = {**environment, "DATABASE_CONNECT_AS": "owner"}
        assert "DATABASE_CONNECT_AS" not in compose(given, Servers(folder, None, None))
