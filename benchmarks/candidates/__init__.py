"""The runner's side of each candidate."""

from typing import Protocol

from benchmarks.turns import Turn
from benchmarks.workload import Case


class Unavailable(RuntimeError):
    """The candidate cannot run here; the text says why, for the report."""


class Candidate(Protocol):
    """Something that posts transfers. The runner gives it turns, between those of the others."""

    name: str
    # Where its money is; candidates of one database share their books.
    database: str

    def takes(self, case: Case) -> bool:
        """Whether the case means anything for it."""

    def prepare(self) -> None:
        """Make tables, accounts and money. Raises ``Unavailable``."""

    def turn(self, case: Case, seconds: int) -> Turn:
        """Post for so many seconds. Raises ``Unavailable`` where this case cannot be run."""

    def check(self) -> list[str]:
        """What of its books does not hold; empty when they agree."""

    def close(self) -> None:
        """End whatever was started."""
