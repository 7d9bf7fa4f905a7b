"""Random secrets of one data folder, made once and kept beside the data they protect."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from fintech_core.embedded.messages import LaunchError


def _key() -> str:
    return secrets.token_urlsafe(64)


def _webhook_secret() -> str:
    """As Standard Webhooks has it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(48)).decode()


MAKERS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": _key,
    "JWT_SIGNING_KEY": _key,
    "WEBHOOK_SECRETS_KEY": _key,
    "SIMULATOR_API_KEY": _key,
    "SIMULATOR_WEBHOOK_SECRET": _webhook_secret,
}


def keep(folder: Path) -> dict[str, str]:
    """The folder's secrets, readable by its owner alone; missing ones are made and kept."""
    path = folder / "secrets.json"
    kept = _read(path)
    missing = [name for name in MAKERS if not kept.get(name)]
    if missing:
        kept |= {name: MAKERS[name]() for name in missing}
        _write(path, kept)
    return {name: kept[name] for name in MAKERS}


def _read(path: Path) -> dict[str, str]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LaunchError(f"Cannot read the secrets in {path}: {error}") from error
    if not isinstance(loaded, dict):
        raise LaunchError(f"Cannot read the secrets in {path}: not an object")
    return {str(name): str(value) for name, value in loaded.items()}


def _write(path: Path, values: dict[str, str]) -> None:
    # Whole or not at all: a half-written file would log everybody out at the next start.
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(values, stream, indent=2)
    temporary.replace(path)
