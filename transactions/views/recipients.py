"""Who tries addresses in turn is stopped; who has mistyped one is told."""

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings

from transactions.instructions import Request, TransferInstruction
from users.attempts import Quota, count_attempt, count_many, require_attempts_left


def quota_of_unknown() -> Quota:
    """How many recipients that nobody knows a caller may name."""
    return Quota("unknown_recipient", timedelta(hours=1), settings.UNKNOWN_RECIPIENTS_PER_HOUR)


def require_may_look(asked: Request, instructions: Iterable[TransferInstruction]) -> None:
    """Raises ``TooManyRequests`` where one of them names its recipient by an address or number, and the
    caller has named too many that nobody knows.

    Known ones are refused alike: else the answer would tell which is which.
    """
    if any(each.recipient.wallet_id is None for each in instructions):
        require_attempts_left(quota_of_unknown(), str(asked.caller_id))


def count_unknown_recipient(asked: Request) -> None:
    """Count one; raises ``TooManyRequests`` where it was one too many."""
    quota = quota_of_unknown()
    count_attempt(
        scope=quota.scope, subject=str(asked.caller_id), window=quota.window, limit=quota.limit
    )


def count_unknown_recipients(asked: Request, number: int) -> None:
    """Count those of a batch whose other transfers have happened: its answer is told in any case."""
    if number:
        count_many(quota_of_unknown(), str(asked.caller_id), by=number)
