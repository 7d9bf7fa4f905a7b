"""The launcher finds the simulated provider a port, and remembers which."""

import socket

import pytest

from fintech_core.embedded import secret_keys
from fintech_core.embedded.messages import LaunchError
from fintech_core.embedded.ports import note_simulator, simulator_port, simulator_url
from fintech_core.embedded.run import is_simulated
from fintech_core.embedded.services import simulator
from payments.tests.simulators import free_port
from tests.launcher.support import data_folder


def test_the_port_behind_the_platforms_is_taken_where_it_is_free() -> None:
    with data_folder() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        port, is_expected = simulator_port(taken - 1, folder)
        assert not is_expected
        assert port not in {taken, taken - 1}
        free = free_port()
        assert simulator_port(free - 1, folder) == (free, True)


def test_a_port_that_was_asked_for_is_that_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with data_folder() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        for wrong in (str(taken), "8000", "x", "0"):
            monkeypatch.setenv("SIMULATOR_PORT", wrong)
            with pytest.raises(LaunchError, match="SIMULATOR_PORT"):
                simulator_port(8000, folder)
        monkeypatch.setenv("SIMULATOR_PORT", str(port := free_port()))
        assert simulator_port(8000, folder) == (port, True)


def test_commands_beside_it_know_where_it_is() -> None:
    with data_folder() as folder:
        assert simulator_url(folder) is None
        note_simulator(folder, 8123)
        assert simulator_url(folder) == "http://127.0.0.1:8123"
        (folder.path / "simulator.port").write_text("rubbish")
        assert simulator_url(folder) is None


@pytest.mark.parametrize(
    ("environment", "runs"),
    [
        ({}, True),
        ({"PAYMENT_PROVIDERS": "stripe, simulator"}, True),
        ({"PAYMENT_PROVIDERS": "stripe"}, False),
        ({"FINTECH_ENV": "production"}, False),
        ({"FINTECH_ENV": "production", "PAYMENT_PROVIDERS": "stripe"}, False),
        ({"FINTECH_ENV": "production", "PAYMENT_PROVIDERS": "simulator"}, True),
    ],
)
def test_it_runs_in_production_only_by_name(environment: dict[str, str], runs: bool) -> None:
    assert is_simulated(environment) is runs


def test_it_is_given_none_of_the_platforms_secrets() -> None:
    with data_folder() as folder:
        platform = secret_keys.keep(folder.path) | {"DATABASE_URL": "postgres://x", "PATH": "/bin"}
        given = simulator(folder, platform).environment
        shared = {"SIMULATOR_API_KEY", "SIMULATOR_WEBHOOK_SECRET"}
        assert shared <= given.keys()
        assert not (platform.keys() - shared - {"PATH"}) & given.keys()
