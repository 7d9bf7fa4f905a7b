"""``test``, ``check``, ``manage``, ``with-servers``: one command, and servers while it runs."""

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fintech_core.embedded import interruption
from fintech_core.embedded.folders import ROOT
from fintech_core.embedded.interruption import Stopped
from fintech_core.embedded.messages import say
from fintech_core.embedded.privileges import die_with_parent
from fintech_core.embedded.servers import running

PATIENCE = 5.0


def _dying_with(parent: int) -> Callable[[], None]:
    return lambda: die_with_parent(signal.SIGTERM, parent)


def attend(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command at the terminal and return its exit status.

    It shares our process group, so it can read the terminal and a Ctrl-C reaches it directly. Where
    only the launcher was asked to stop, the command is told after a moment, and ended at last.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=dict(environment),
        preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509  the launcher has one thread
    )
    while process.poll() is None:
        if interruption.requested() is not None:
            return _part_with(process)
        time.sleep(interruption.TICK / 2)
    return _status(process.returncode)


def _part_with(process: subprocess.Popen[bytes]) -> int:
    for number in (None, interruption.requested(), signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            process.send_signal(number)
        try:
            process.wait(1.0 if number is None else PATIENCE)
        except subprocess.TimeoutExpired:
            continue
        break
    return _status(process.wait())


def _status(returncode: int) -> int:
    """The shell's way to tell a signal: 128 and its number."""
    return 128 - returncode if returncode < 0 else returncode


def test(arguments: Sequence[str]) -> int:
    """Run pytest on fresh temporary servers, in two processes; its exit status is ours.

    Arguments come last, so ``-n 0`` brings everything back into one process.
    """
    pytest = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile"]
    with running(purpose="make test", use_temporary=True) as environment:
        return attend([*pytest, *arguments], environment)


def manage(arguments: Sequence[str]) -> int:
    """Run ``manage.py`` on the data folder's servers, a running instance's where there is one."""
    with running(purpose="manage.py", use_temporary=False) as environment:
        return attend([sys.executable, "manage.py", *arguments], environment)


def with_servers(arguments: Sequence[str]) -> int:
    """Run any command on the data folder's servers, or with ``--temporary`` on fresh ones."""
    rest = list(arguments)
    use_temporary = rest[:1] == ["--temporary"]
    if use_temporary:
        del rest[0]
    if rest[:1] == ["--"]:
        del rest[0]
    if not rest:
        say("usage: with-servers [--temporary] -- COMMAND [ARGUMENT ...]")
        return 2
    with running(purpose="with-servers", use_temporary=use_temporary) as environment:
        return attend(rest, environment)


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _lints() -> list[list[str]]:
    """Everything that judges the code without running the service."""
    python = sys.executable
    return [
        [_tool("ruff"), "check", "."],
        [_tool("ruff"), "format", "--check", "."],
        [python, "-m", "mypy", "."],
        [_tool("lint-imports")],
        [python, "-m", "bandit", "--quiet", "--recursive", "--configfile", "pyproject.toml", "."],
    ]


def _django_checks() -> list[list[str]]:
    """What Django itself judges, in an environment like production's."""
    manage_py = [sys.executable, "manage.py"]
    return [
        [*manage_py, "makemigrations", "--check", "--dry-run"],
        [*manage_py, "check", "--deploy", "--fail-level", "WARNING"],
        [*manage_py, "spectacular", "--validate", "--fail-on-warn", "--file", os.devnull],
    ]


def check(_arguments: Sequence[str]) -> int:
    """Run every check, all of them even after one has failed; 0 only where all pass."""
    # mypy's plugin reads the settings, which start half configured only in development.
    developing = {"FINTECH_ENV": "development", **os.environ}
    failed = [command for command in _lints() if not _passes(command, developing)]
    with running(purpose="make check", use_temporary=True) as environment:
        like_production = {
            **environment,
            "FINTECH_ENV": "production",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "JWT_SIGNING_KEY": secrets.token_urlsafe(64),
            "WEBHOOK_SECRETS_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": "fintech.example",
            "CHECKPOINT_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        failed += [command for command in _django_checks() if not _passes(command, like_production)]
    if failed:
        say("Failed: " + "; ".join(_label(command) for command in failed))
        return 1
    say("Every check passes.")
    return 0


def _label(command: Sequence[str]) -> str:
    words = [Path(word).name if os.sep in word else word for word in command]
    return " ".join(words[2:] if words[1:2] == ["-m"] else words)


def _passes(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    say(f"$ {_label(command)}")
    status = attend(command, environment)
    if interruption.requested() is not None:
        raise Stopped
    return status == 0
