"""Whose process a pid is. No pid is ever signalled before its command line or folder was looked at.

A pid file may outlive its process, and the number may by now belong to a stranger.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Set in the environment of every service the launcher starts; the value is its data folder.
MARKER = "FINTECH_SUPERVISED"
HAS_PROC = sys.platform == "linux" and Path("/proc/self/environ").exists()


def is_alive(pid: int) -> bool:
    """True where a process of that number exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if HAS_PROC:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return False
        return state not in {"Z", "X"}
    return True


def command_line(pid: int) -> str:
    """The arguments a process was started with, joined by blanks; empty where it is gone."""
    if HAS_PROC:
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    listed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()


def working_folder(pid: int) -> Path | None:
    """A process's current folder, where the system tells."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def is_postgres_of(pid: int, postgres_data: Path) -> bool:
    """True for a living server process of exactly this PostgreSQL data folder.

    Every PostgreSQL process works inside its data folder; where the system does not tell the
    folder, the postmaster's command line does.
    """
    if not is_alive(pid):
        return False
    folder = working_folder(pid)
    if folder is not None:
        return folder == postgres_data.resolve()
    command = command_line(pid)
    return "postgres" in command and f"-D {postgres_data}" in command


def is_marked(pid: int, folder: Path) -> bool:
    """True for a process that a launcher with this data folder started as a service."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{MARKER}={folder}".encode() in variables


def _pids() -> Iterator[int]:
    if HAS_PROC:
        yield from (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def postgres_processes(postgres_data: Path) -> list[int]:
    """Living server processes of one PostgreSQL data folder, orphans included (Linux only)."""
    return [pid for pid in _pids() if is_postgres_of(pid, postgres_data)]


def services_of(folder: Path) -> list[int]:
    """Living services of a launcher with this data folder, also our own children (Linux only)."""
    return [pid for pid in _pids() if is_marked(pid, folder) and is_alive(pid)]
