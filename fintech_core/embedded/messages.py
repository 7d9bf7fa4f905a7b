"""What the launcher says: one line per step, and plain sentences when something cannot work."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LABEL_WIDTH = 18


class LaunchError(Exception):
    """Something that the person at the keyboard can act on; its text is all they need to read."""


class Outcome:
    """What a step has to tell once it is done; the step's body may set ``text``."""

    text = "done"


def say(text: str = "") -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


@contextmanager
def step(label: str) -> Iterator[Outcome]:
    """Print one status line for the body: its label, its outcome and how long it took."""
    began = time.monotonic()
    outcome = Outcome()
    print(f"  {label:<{LABEL_WIDTH}} ", end="", flush=True)
    try:
        yield outcome
    except BaseException:
        say("failed")
        raise
    say(f"{outcome.text} ({time.monotonic() - began:.1f} s)")


def complain(text: str) -> None:
    """Print a problem to stderr, after everything already said."""
    sys.stdout.flush()
    print(f"\n{text}", file=sys.stderr, flush=True)


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, indented for a message; says so when there is none."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            kept = deque(lines, maxlen=count)
    except OSError:
        kept = deque()
    if not kept:
        return f"  ({log} is empty)"
    return "".join(f"  | {line.rstrip()}\n" for line in kept) + f"  (from {log})"
