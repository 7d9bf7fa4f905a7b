"""What callers ask of the reference, and by way of ``World`` of the service."""

import datetime
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Asked:
    """Who asks, under which key; ``printed`` stands for the whole request: with another one, a key is
    misused. The platform itself has no name."""

    caller: str | None
    key: str
    printed: str


@dataclass(frozen=True)
class Order(Asked):
    """A transfer; ``to`` is a wallet, or a user for the primary one."""

    to: str
    amount: str
    currency: str | None = None
    source: str | None = None
    hold_for: datetime.timedelta | None = None


@dataclass(frozen=True)
class Deposit(Asked):
    """Money that comes in from one of the platform's wallets."""

    source: str
    target: str
    amount: Decimal


@dataclass(frozen=True)
class Settlement(Asked):
    """A capture or a void of holds, all or none, by their numbers; operators may ask for any."""

    numbers: tuple[int, ...]
    amount: str | None = None
    final: bool = True
    is_operator: bool = False


@dataclass(frozen=True)
class Reversal(Asked):
    number: int
    amount: str | None = None
    is_operator: bool = False


@dataclass(frozen=True)
class Conversion(Asked):
    source: str
    target: str
    amount: str
