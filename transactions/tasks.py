"""Upkeep of the ledger. Tasks are harmless when run twice."""

import logging

from celery import shared_task

from transactions.selectors import check_books
from transactions.services import prune_quotes

logger = logging.getLogger(__name__)


@shared_task(name="transactions.check_books")
def check_books_task() -> int:
    """Look for broken invariants; each is logged as an error. Returns how many there are."""
    violations = check_books()
    for invariant, subject in violations:
        logger.error("ledger_invariant_broken", extra={"invariant": invariant, "subject": subject})
    return len(violations)


@shared_task(name="transactions.prune_quotes")
def prune_quotes_task() -> int:
    """Forget quotes that ran out and served nothing."""
    return prune_quotes()
