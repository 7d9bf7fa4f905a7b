"""The ports ``run`` serves on."""

import os
import socket

from fintech_core.embedded.folders import DataFolder
from fintech_core.embedded.messages import LaunchError
from fintech_core.embedded.services import HOST


def chosen_port(name: str = "PORT", default: int = 8000) -> int:
    """What the environment says, by default 8000."""
    text = os.environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise LaunchError(f"{name} is {text!r}; it must be a number from 1 to 65535.")
    return int(text)


def require_free(port: int, name: str = "PORT") -> None:
    """Raise where something listens on the port already, before anything else is started."""
    try:
        _bind(port)
    except PermissionError:
        raise LaunchError(f"Port {port} needs more rights; choose one above 1023.") from None
    except OSError:
        raise LaunchError(
            f"Port {port} is taken by another program. Stop that, or choose another port:"
            f" {name}={port + 1 if port < 65535 else 8000} make run"
        ) from None


def simulator_port(port: int, folder: DataFolder) -> tuple[int, bool]:
    """The simulated provider's port, and whether it is where one would look for it.

    ``SIMULATOR_PORT`` where it is set, and then it must be free; else the one behind the platform's, or
    where that is taken, the last one or any: whoever tries things out does not care, and is told.
    """
    if os.environ.get("SIMULATOR_PORT", "").strip():
        chosen = chosen_port("SIMULATOR_PORT")
        if chosen == port:
            raise LaunchError("SIMULATOR_PORT and PORT must differ.")
        require_free(chosen, "SIMULATOR_PORT")
        return chosen, True
    expected = port + 1 if port < 65535 else port - 1
    for candidate in (expected, _last_port(folder), 0):
        if candidate is None or candidate == port:
            continue
        try:
            return _bind(candidate), candidate == expected
        except OSError:
            continue
    raise LaunchError("There is no free port for the payment simulator.")


def note_simulator(folder: DataFolder, port: int) -> None:
    """Remember the port, for commands beside ``run`` and for the next start."""
    (folder.path / "simulator.port").write_text(f"{port}\n", encoding="ascii")


def simulator_url(folder: DataFolder) -> str | None:
    """Where ``run`` has started the simulated provider last; None where it never has."""
    port = _last_port(folder)
    return None if port is None else f"http://{HOST}:{port}"


def _last_port(folder: DataFolder) -> int | None:
    try:
        text = (folder.path / "simulator.port").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() and 1 <= int(text) <= 65535 else None


def _bind(port: int) -> int:
    """The port, or a free one for 0; raises ``OSError`` where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])
