"""How the runner talks to its load processes: one JSON order a line in, one JSON answer a line out.

The processes run in interpreters of their own, one of which knows other packages than this project, so
this stays on the standard library alone.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class LoadFailed(RuntimeError):
    """A load process could not do what it was ordered to; its own words say why."""


class Loader:
    """The runner's end of one load process."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        python: str = "",
    ) -> None:
        self._process = subprocess.Popen(
            [python or sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, **order: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LoadFailed("a load process has ended") from error

    def receive(self) -> Any:
        """The answer to the last order. Raises ``LoadFailed``."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailed(f"a load process ended with {self._process.wait()}")
        answer = json.loads(line)
        if "failed" in answer:
            raise LoadFailed(answer["failed"])
        return answer["answer"]

    def ask(self, **order: Any) -> Any:
        self.send(**order)
        return self.receive()

    def close(self) -> None:
        """Let the process end; kill it where it does not."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate(timeout=10)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def obey(handlers: Mapping[str, Callable[..., Any]]) -> None:
    """The load process's end: carry out orders by name until there are no more.

    Whatever else is printed goes to the standard error, so that the answers stay readable.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            told = {"answer": handlers[order.pop("do")](**order)}
        except Exception as error:
            traceback.print_exc()
            told = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(told) + "\n")
        answers.flush()
