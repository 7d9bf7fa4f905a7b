"""Who pays whom: a ladder of contention, the same for every candidate.

Accounts are numbers from 0 on; a candidate maps them to its own. Each rung is drawn in three languages,
here, in pgbench's (``candidates/floor.py``) and in SQL (``sql/l0.sql``), with the same distribution.
"""

import random
from dataclasses import dataclass

RUNGS = ("disjoint", "zipfian", "ten", "hot-recipient", "hot-payer")
# In the currency's smallest unit, of which a hundred make one.
AMOUNT = 1
# The account that the hot rungs share.
HOT = 0
# Levels beside the service and HTTP: webhooks in and out.
INTAKE, DELIVERY = "intake", "delivery"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer of ``AMOUNT``: the numbers of the payer's and the recipient's account."""

    payer: int
    recipient: int


@dataclass(frozen=True, slots=True)
class Case:
    """What all candidates of a level do in their turns: so many callers, so many transfers per call.

    The levels of webhooks have rungs of their own, and of delivery the callers are the receivers.
    """

    level: str
    rung: str
    callers: int
    size: int = 1

    def __str__(self) -> str:
        word = "receiver" if self.level == DELIVERY else "caller"
        callers = f"{self.callers} {word}" + ("s" if self.callers > 1 else "")
        batch = f", {self.size} per call" if self.size > 1 else ""
        return f"{self.level} {self.rung}, {callers}{batch}"


@dataclass(frozen=True, slots=True)
class Slice:
    """The accounts that only one caller touches; ``HOT`` is in nobody's."""

    first: int
    width: int


def slice_of(*, caller: int, callers: int, accounts: int) -> Slice:
    """A caller's own accounts, two at least."""
    width = (accounts - 1) // callers
    if width < 2:
        raise ValueError(f"{accounts} accounts are too few for {callers} callers")
    return Slice(HOT + 1 + caller * width, width)


def draw(rung: str, *, caller: int, callers: int, accounts: int, chance: random.Random) -> Transfer:
    """The caller's next transfer; its two sides are never the same account."""
    if rung == "zipfian":
        payer, recipient = _zipfian(accounts, chance), _zipfian(accounts, chance)
        return Transfer(payer, (payer + 1) % accounts if recipient == payer else recipient)
    if rung == "ten":
        payer = chance.randrange(10)
        return Transfer(payer, (payer + chance.randrange(1, 10)) % 10)
    own = slice_of(caller=caller, callers=callers, accounts=accounts)
    offset = chance.randrange(own.width)
    if rung == "hot-recipient":
        return Transfer(own.first + offset, HOT)
    if rung == "hot-payer":
        return Transfer(HOT, own.first + offset)
    if rung == "disjoint":
        other = (offset + chance.randrange(1, own.width)) % own.width
        return Transfer(own.first + offset, own.first + other)
    raise ValueError(f"no rung is called {rung!r}")


def _zipfian(accounts: int, chance: random.Random) -> int:
    """Account k with a probability near 1/k, by inversion: cheap enough for every client."""
    return int(accounts ** chance.random()) - 1
