"""Upkeep of the ledger. Tasks are harmless when run twice."""

import logging

from celery import shared_task

from transactions import services
from transactions.selectors import check_books

logger = logging.getLogger(__name__)


@shared_task(name="transactions.check_books")
def check_books_task() -> int:
    """Look for broken invariants; each is logged as an error. Returns how many there are."""
    violations = check_books()
    for invariant, subject in violations:
        logger.error("ledger_invariant_broken", extra={"invariant": invariant, "subject": subject})
    return len(violations)


@shared_task(name="transactions.expire_holds")
def expire_holds_task() -> int:
    """Give back what holds past their expiry still reserve. Returns how many wallets had some."""
    return services.expire_holds()
