"""Upkeep of the ledger. Tasks are harmless when run twice."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from celery import shared_task
from django.db import connection

from transactions import services
from transactions.signatures import has_signing_key

logger = logging.getLogger(__name__)

_VERIFYING = "transactions.verify"


@shared_task(name="transactions.expire_holds")
def expire_holds_task() -> int:
    """Give back what holds past their expiry still reserve. Returns how many wallets had some."""
    return services.expire_holds()


@shared_task(name="transactions.take_checkpoint")
def take_checkpoint_task() -> int | None:
    """Sign where the ledger stands; returns the checkpoint's number, None where nothing has moved."""
    if not has_signing_key():
        logger.error("checkpoint_not_signed", extra={"reason": "no CHECKPOINT_SIGNING_KEY"})
        return None
    checkpoint = services.take_checkpoint()
    return checkpoint.number if checkpoint else None


# Verifying takes as long as there is to read, so it is acknowledged first; the next run makes up for one
# that is lost.
_SOFT_SECONDS, _SECONDS = 21_000, 21_600


@shared_task(
    name="transactions.verify_new",
    acks_late=False,
    soft_time_limit=_SOFT_SECONDS,
    time_limit=_SECONDS,
)
def verify_new_task() -> bool | None:
    """Prove what no run has proved yet, and halt the postings where it does not hold.

    Returns whether it holds; None while another verification is at work.
    """
    return _verify(None)


@shared_task(
    name="transactions.verify_all",
    acks_late=False,
    soft_time_limit=_SOFT_SECONDS,
    time_limit=_SECONDS,
)
def verify_all_task() -> bool | None:
    """Prove everything, from the first entry on."""
    return _verify(0)


def _verify(after_checkpoint: int | None) -> bool | None:
    with _alone() as is_alone:
        if not is_alone:
            return None
        report = services.verify_or_halt(after_checkpoint=after_checkpoint)
    for violation in report.violations:
        logger.critical("ledger_invariant_broken", extra=violation.as_dict())
    logger.info("ledger_verified", extra={"sound": report.is_sound, "read": report.extent.entries})
    return report.is_sound


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other process verifies; it is so until the block ends, or the session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [_VERIFYING])
        [got] = cursor.fetchone() or [False]
    try:
        yield bool(got)
    finally:
        if got:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [_VERIFYING])


@shared_task(name="transactions.prune_quotes")
def prune_quotes_task() -> int:
    """Forget quotes that ran out and served nothing."""
    return services.prune_quotes()


@shared_task(name="transactions.run_schedules")
def run_schedules_task() -> int:
    """Make the scheduled transfers that are due. Returns how many runs there were."""
    return services.run_due_schedules()
