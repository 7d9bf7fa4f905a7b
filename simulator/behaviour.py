"""The ways in which this provider can be told to misbehave.

Each has a name and an amount. It is chosen for one object by its amount: so many of the currency's
smallest units, 66.01 USD or 6601 JPY. For every call of a client, and what it makes, by its API key:
``KEY~decline+slow``. For everything that follows by ``POST /v1/_behaviour``. What spoils an answer
strikes once for each object and kind of call where the amount chose it, so that a retry gets on; always
where the key or the control did.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

# Name: what it does. In order: the first has the amount 6601.
BEHAVIOURS = {
    "decline": "Whoever pays is declined: `card_declined`. A refund or payout fails, too.",
    "insufficient_funds": "The same, with the code `insufficient_funds`.",
    "refuse": "What creates something is refused for good: 402 `amount_refused`.",
    "error": "500, and nothing happened.",
    "error_after": "500, but it happened.",
    "timeout": "It happened, but the answer takes a minute.",
    "slow": "Each answer takes two seconds.",
    "late_events": "Events come five seconds late.",
    "duplicate": "Each event comes three times.",
    "shuffle": "Events come in reverse order.",
    "forge": "With each event comes a forged one that says `payment.succeeded`.",
    "die": "The program kills itself after the answer that ends a payment, before the event.",
    "die_unanswered": "It kills itself after it has created something, before the answer.",
    "wrong_amount": "What has succeeded is told with one smallest unit too much.",
    "wrong_currency": "What has succeeded is told in another currency.",
    "no_events": "No event is sent, ever; only the API tells.",
    "succeed": "A payment succeeds as soon as it is confirmed; nobody has to pay at the checkout.",
    "succeed_later": "The same, a moment after it is confirmed.",
    "old_signature": "Each event's first try is signed with a time of ten minutes ago.",
    "cut": "It happened, but the connection is cut without an answer.",
    "report_missing": "It is missing in the settlement report.",
    "report_differs": "It has another amount in the settlement report.",
    "report_extra": "The settlement report has a row beside it for what never was.",
    "manual": "A refund or payout takes no step by itself, only by `simulate`.",
}
FIRST_AMOUNT = 6601
AMOUNTS = {FIRST_AMOUNT + place: name for place, name in enumerate(BEHAVIOURS)}

TIMEOUT_SECONDS = 60.0
SLOW_SECONDS = 2.0
LATE_SECONDS = 5.0
COPIES = 3
OLD_SECONDS = 600.0
# Between the events that shuffle turns around.
SHUFFLE_SECONDS = 0.6


class UnknownBehaviour(ValueError):
    """There is no behaviour of that name."""


def require_known(names: Iterable[str]) -> frozenset[str]:
    """The names as a set; raises ``UnknownBehaviour``."""
    chosen = frozenset(names)
    for name in sorted(chosen - BEHAVIOURS.keys()):
        raise UnknownBehaviour(name)
    return chosen


@dataclass(frozen=True, slots=True)
class Chosen:
    """What holds for one call: by the caller's key, by the control, and by the amount it is about."""

    by_key: frozenset[str] = field(default_factory=frozenset)
    by_control: frozenset[str] = field(default_factory=frozenset)
    by_amount: frozenset[str] = field(default_factory=frozenset)

    def __contains__(self, name: str) -> bool:
        return name in self.by_key or name in self.by_control or name in self.by_amount

    @property
    def lasting(self) -> frozenset[str]:
        """What an object keeps of it: the control holds only while it says so."""
        return self.by_key | self.by_amount

    def about(self, amount: int) -> "Chosen":
        """The same caller, now with an amount."""
        name = AMOUNTS.get(amount)
        return Chosen(self.by_key, self.by_control, frozenset([name] if name else []))

    def strikes(self, name: str, database: sqlite3.Connection, subject: str, action: str) -> bool:
        """True where an answer is to be spoiled so; remembers it where the amount chose it."""
        if name in self.by_key or name in self.by_control:
            return True
        if name not in self.by_amount:
            return False
        struck = (subject, action, name)
        return (
            database.execute("INSERT OR IGNORE INTO struck VALUES (?, ?, ?)", struck).rowcount == 1
        )
