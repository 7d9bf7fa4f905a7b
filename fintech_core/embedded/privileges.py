"""As whom PostgreSQL runs. It refuses to run as root, and as a user without a name.

- Any ordinary user: as ourselves.
- Root, or a user whom the machine has no name for: in a user namespace, where the same files are
  ours and the number is 65534. No user is made, no file changes hands.
- Root where namespaces are blocked (inside most containers): as ``nobody``, with the data under
  ``/var/tmp``.

``FINTECH_ROOT_MODE`` (``namespace`` or ``nobody``) forces one of the two, for tests.
"""

import ctypes
import enum
import os
import pwd
import signal
import sys
from collections.abc import Callable
from pathlib import Path

NOBODY = 65534
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a child between fork and exec should do as little as possible.
_libc = ctypes.CDLL(None, use_errno=True)


class Mode(enum.Enum):
    """How a PostgreSQL process gets to be somebody who may run it."""

    PLAIN = "plain"
    NAMESPACE = "namespace"
    NOBODY = "nobody"

    @property
    def owner(self) -> int:
        """The user who owns the files of PostgreSQL, as seen from outside."""
        return NOBODY if self is Mode.NOBODY else os.getuid()

    def enter(self) -> None:
        """Become that somebody; called in the child, between fork and exec."""
        if self is Mode.NAMESPACE:
            _enter_namespace()
        elif self is Mode.NOBODY:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)


def _enter_namespace() -> None:
    # Read before: inside, these numbers are not ours any more.
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {user} 1"),
        ("gid_map", f"{NOBODY} {group} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """In the child: get this signal when the launcher dies, even by ``kill -9`` (Linux only)."""
    if sys.platform != "linux":
        return
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        # The launcher died before the request above was in place.
        os._exit(1)


def before_exec(mode: Mode, number: signal.Signals) -> Callable[[], None]:
    """What a child does between fork and exec; a change of user would forget the request."""
    parent = os.getpid()

    def prepare() -> None:
        mode.enter()
        die_with_parent(number, parent)

    return prepare


def can(mode: Mode, *, read: Path, execute: Path) -> bool:
    """True where a child in this mode can use a folder and a program; tried in a real child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            mode.enter()
            works = os.access(read, os.R_OK | os.W_OK | os.X_OK)
            code = 0 if works and os.access(execute, os.X_OK) else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def choose(data: Path, program: Path) -> Mode:
    """The first mode that works for this user, this data folder and this program."""
    is_root = os.getuid() == 0
    if not is_root and _has_name(os.getuid()):
        return Mode.PLAIN
    forced = os.environ.get("FINTECH_ROOT_MODE", "").strip()
    if forced:
        return Mode(forced)
    if sys.platform == "linux" and can(Mode.NAMESPACE, read=data, execute=program):
        return Mode.NAMESPACE
    return Mode.NOBODY if is_root else Mode.PLAIN


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True
