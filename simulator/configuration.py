"""What the environment says."""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# The same as the platform's in development, so that both agree where nobody said anything.
DEVELOPMENT_KEY = "development-only-key-of-the-simulator"
DEVELOPMENT_SECRET = "whsec_ZGV2ZWxvcG1lbnQtb25seS1zZWNyZXQtb2YtZXZlbnRz"  # noqa: S105  # nosec B105
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
RETRY_PAUSES = "0.5,1,2,5,10,30,60,300"


class BadConfiguration(Exception):
    """The program cannot start so; the text says why."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where to listen, whom to trust, whom to tell.

    ``webhook_host`` is the Host header of events where the one of ``webhook_url`` is not what the
    platform answers to. Events wait ``retry_pauses`` between tries, the last of them again and again.
    ``pace`` is how many seconds lie between the steps that an object takes by itself.
    """

    host: str
    port: int
    public_url: str
    api_key: str
    webhook_secret: bytes
    webhook_url: str
    webhook_host: str
    database: Path
    retry_pauses: tuple[float, ...]
    pace: float


def configured(environment: Mapping[str, str] = os.environ) -> Configuration:
    """The environment's word; raises ``BadConfiguration``."""

    def text(name: str, default: str = "") -> str:
        return environment.get(name, "").strip() or default

    host = text("SIMULATOR_HOST", "127.0.0.1")
    key = text("SIMULATOR_API_KEY", DEVELOPMENT_KEY)
    secret = text("SIMULATOR_WEBHOOK_SECRET", DEVELOPMENT_SECRET)
    if host not in LOOPBACK and (key == DEVELOPMENT_KEY or secret == DEVELOPMENT_SECRET):
        raise BadConfiguration(
            f"SIMULATOR_HOST is {host}, which others can reach: set SIMULATOR_API_KEY and"
            " SIMULATOR_WEBHOOK_SECRET."
        )
    if "~" in key:
        raise BadConfiguration("SIMULATOR_API_KEY must not contain '~'.")
    port = _number("SIMULATOR_PORT", text("SIMULATOR_PORT", "8001"))
    folder = Path(text("FINTECH_DATA", ".data"))
    pauses = text("SIMULATOR_RETRY_PAUSES", RETRY_PAUSES).split(",")
    return Configuration(
        host=host,
        port=int(port),
        public_url=text("SIMULATOR_PUBLIC_URL", f"http://localhost:{int(port)}").rstrip("/"),
        api_key=key,
        webhook_secret=_secret(secret),
        webhook_url=text("SIMULATOR_WEBHOOK_URL"),
        webhook_host=text("SIMULATOR_WEBHOOK_HOST"),
        database=Path(text("SIMULATOR_DATABASE", str(folder / "simulator.sqlite3"))),
        retry_pauses=tuple(_number("SIMULATOR_RETRY_PAUSES", pause) for pause in pauses),
        pace=_number("SIMULATOR_PACE", text("SIMULATOR_PACE", "1")),
    )


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e6:
        raise BadConfiguration(f"{name} is {text!r}; it must be a number of zero or more.")
    return value


def _secret(text: str) -> bytes:
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise BadConfiguration("SIMULATOR_WEBHOOK_SECRET must be whsec_ and base 64.") from None
