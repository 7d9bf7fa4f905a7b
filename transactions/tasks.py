"""Upkeep of the ledger. Tasks are harmless when run twice."""

import logging

from celery import shared_task
from django.db import connection, transaction

from transactions.selectors import list_violations

logger = logging.getLogger(__name__)


@shared_task(name="transactions.check_books")
def check_books() -> int:
    """Look for broken invariants; each is logged as an error. Returns how many there are."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            # The one statement that is as long as the ledger: it gets its own bound.
            cursor.execute("SET LOCAL statement_timeout = '180s'")
        violations = list_violations()
    for invariant, subject in violations:
        logger.error("ledger_invariant_broken", extra={"invariant": invariant, "subject": subject})
    return len(violations)
