"""The data folder, its lock, and the short private folder for sockets."""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import IO

from fintech_core.embedded.messages import LaunchError

ROOT = Path(__file__).resolve().parent.parent.parent
LOG_LIMIT = 10 * 1024 * 1024
TEMPORARY_PREFIX = "fintech-test-"
# A socket's path must stay under 104 bytes (macOS; 108 on Linux), however long the data folder's.
SOCKETS_PARENT = Path("/tmp")
_ABANDONED_AFTER = 3600.0


class AlreadyRunning(LaunchError):
    """Another launcher holds the data folder."""


class DataFolder:
    """Everything one instance keeps; at most one launcher owns it at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: IO[str] | None = None
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        self.name = f"fintech-{os.getuid()}-{digest}"
        self.sockets = SOCKETS_PARENT / self.name
        self.logs = self.path / "logs"

    def make(self) -> None:
        """Create the folder, private to its owner."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LaunchError(
                f"Cannot make the data folder {self.path}: {error.strerror}"
            ) from error

    def take(self, purpose: str) -> None:
        """Own the folder until this process ends; refuses, naming the owner, where it has one."""
        lock = (self.path / "launcher.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "pid unknown"
            lock.close()
            raise AlreadyRunning(
                f"Already running ({owner}) with the data in {self.path}."
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"pid {os.getpid()}, {purpose}\n")
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Let the next launcher have the folder."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def share(self, *, exclusive: bool = False) -> IO[str]:
        """A note that somebody uses the servers; ``exclusive`` waits until nobody else does."""
        note = (self.path / "visitors.lock").open("a", encoding="utf-8")
        fcntl.flock(note, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        return note

    def log(self, name: str) -> Path:
        """The path of a log; one that has grown past 10 MB is set aside first."""
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        return path

    def make_sockets(self, owner: int) -> None:
        """Create the private folder for sockets; refuses one that is somebody else's."""
        make_private(self.sockets, owner)

    def remove_sockets(self) -> None:
        """Remove the sockets' folder; only after every server in it has stopped."""
        shutil.rmtree(self.sockets, ignore_errors=True)


def make_private(path: Path, owner: int) -> None:
    """A folder only its owner can enter, made where it is missing, refused where it is not that."""
    try:
        path.mkdir(mode=0o700)
        if owner != os.getuid():
            os.chown(path, owner, -1)
    except FileExistsError:
        pass
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in {owner, os.getuid()}:
        raise LaunchError(f"{path} exists and is not ours; remove it and start again.")
    if facts.st_uid != owner:
        os.chown(path, owner, -1)
    path.chmod(0o700)


def configured() -> DataFolder:
    """The data folder of ``FINTECH_DATA``, by default ``.data`` in the project."""
    given = os.environ.get("FINTECH_DATA", "").strip()
    return DataFolder(ROOT / (given or ".data"))


def temporary() -> DataFolder:
    """A fresh data folder for one command; abandoned ones of killed launchers are cleared away."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{TEMPORARY_PREFIX}*"):
        _remove_abandoned(left)
    return DataFolder(Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)))


def _remove_abandoned(path: Path) -> None:
    try:
        facts = path.lstat()
        if facts.st_uid != os.getuid() or time.time() - facts.st_mtime < _ABANDONED_AFTER:
            return
        folder = DataFolder(path)
        folder.take("clearing away")
    except (OSError, LaunchError):
        return
    folder.remove_sockets()
    shutil.rmtree(path, ignore_errors=True)
    folder.release()
