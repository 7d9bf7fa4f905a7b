"""What a load process needs to know of a candidate: how to make its accounts, and how to post.

Each module here holds one ``Adapter``; ``benchmarks.callers`` runs it. They are written for the threads
of one process, each of which has a caller of its own.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from benchmarks.workload import Transfer

# Everybody's money at the start, in the smallest unit: enough for every transfer of the longest run.
OPENING = 5_000_000


class Caller(Protocol):
    """One concurrent caller with whatever connection it keeps."""

    def post(self, transfers: Sequence[Transfer]) -> list[str]:
        """Post all of them, durably; returns a word for each that was not."""

    def close(self) -> None:
        """Give the connection back."""


class Adapter(Protocol):
    """A candidate inside a load process."""

    def prepare(self, accounts: int) -> Any:
        """Make so many accounts with money; once, in one process. What it returns must fit into JSON."""

    def open(self, accounts: int) -> None:
        """Learn the accounts that ``prepare()`` made, in every process."""

    def caller(self) -> Caller:
        """A new caller, for the thread that asks."""

    def check(self) -> list[str]:
        """What of the books does not hold; empty when they agree."""
