"""The steps that intents, refunds and payouts may take, and who may have them take which.

An event tells what was, late and in any order; so an event alone only goes along the plain way, and
where it says anything else its provider is asked. What a provider says when it is asked is its word
now: it may also take back a failure. PostgreSQL knows the same steps (``payments/sql/movements.sql``).
"""

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass

from payments.models import IntentStatus, PayoutStatus, RefundStatus


class Verdict(enum.Enum):
    """What to do about what a provider told."""

    STAY = "stay"  # It is so already, or was before.
    GO = "go"
    DOUBT = "doubt"  # An event alone cannot tell: ask.
    CONFLICT = "conflict"  # Its word now cannot be true of what stands here: a person must look.


@dataclass(frozen=True, slots=True)
class Machine:
    """``by_event`` are the steps that an event may cause, ``by_word`` those that the provider's
    word now may cause beside them; ``past`` is what may be told of a status without any meaning for
    it."""

    by_event: Mapping[str, frozenset[str]]
    by_word: Mapping[str, frozenset[str]]
    past: Mapping[str, frozenset[str]]

    def judge(self, status: str, told: str, *, fetched: bool) -> Verdict:
        """What being told so means for what has this status."""
        nothing: frozenset[str] = frozenset()
        if told == status:
            return Verdict.STAY
        if told in self.by_event.get(status, nothing):
            return Verdict.GO
        if fetched and told in self.by_word.get(status, nothing):
            return Verdict.GO
        if told in self.past.get(status, nothing):
            return Verdict.STAY
        return Verdict.CONFLICT if fetched else Verdict.DOUBT


def _steps(**ways: list[str]) -> Mapping[str, frozenset[str]]:
    return {status: frozenset(others) for status, others in ways.items()}


_WAITING, _PROCESSING = IntentStatus.REQUIRES_CONFIRMATION, IntentStatus.PROCESSING
_SUCCEEDED, _FAILED = IntentStatus.SUCCEEDED, IntentStatus.FAILED
_CANCELED = IntentStatus.CANCELED

INTENT = Machine(
    by_event=_steps(
        requires_confirmation=[_PROCESSING, _CANCELED],
        processing=[_SUCCEEDED, _FAILED, _CANCELED],
    ),
    by_word=_steps(
        requires_confirmation=[_SUCCEEDED, _FAILED],
        failed=[_PROCESSING, _SUCCEEDED, _CANCELED],
    ),
    past=_steps(
        processing=[_WAITING],
        succeeded=[_WAITING, _PROCESSING],
        failed=[_WAITING, _PROCESSING],
        canceled=[_WAITING, _PROCESSING, _FAILED],
    ),
)

REFUND = Machine(
    by_event=_steps(pending=[RefundStatus.SUCCEEDED, RefundStatus.FAILED]),
    by_word=_steps(succeeded=[RefundStatus.FAILED]),
    past=_steps(succeeded=[RefundStatus.PENDING], failed=[RefundStatus.PENDING]),
)

PAYOUT = Machine(
    by_event=_steps(in_transit=[PayoutStatus.PAID, PayoutStatus.FAILED]),
    by_word=_steps(paid=[PayoutStatus.FAILED]),
    past=_steps(
        in_transit=[PayoutStatus.PENDING],
        paid=[PayoutStatus.PENDING, PayoutStatus.IN_TRANSIT],
        failed=[PayoutStatus.PENDING, PayoutStatus.IN_TRANSIT],
    ),
)


def growing_pause(
    attempts: int, *, first: datetime.timedelta, longest: datetime.timedelta
) -> datetime.timedelta:
    """How long to wait after so many attempts: twice as long each time, up to the longest."""
    doubled: datetime.timedelta = first * 2 ** min(attempts, 16)
    return min(doubled, longest)
