"""Data folders, servers and processes for the launcher's tests; everything made here is ended here."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fintech_core.embedded.folders import DataFolder


@contextmanager
def data_folder() -> Iterator[DataFolder]:
    """A data folder of its own, gone afterwards together with its sockets' folder."""
    with tempfile.TemporaryDirectory(prefix="fintech launcher ") as path:
        folder = DataFolder(Path(path))
        folder.make()
        try:
            yield folder
        finally:
            folder.release()
            folder.remove_sockets()


@contextmanager
def process(
    *command: str, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A running process, by default one that only sleeps."""
    words = command or (sys.executable, "-c", "import time; time.sleep(60)")
    started = subprocess.Popen(words, env=None if environment is None else dict(environment))
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def eventually(happens: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether something becomes true within a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.05)
    return False


def program(path: Path, says: str) -> Path:
    """A program that only says its version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def postgres(folder: Path, version: str) -> Path:
    """A folder that looks like PostgreSQL's programs."""
    program(folder / "initdb", "initdb")
    program(folder / "postgres", f"postgres (PostgreSQL) {version} (Debian)")
    return folder
