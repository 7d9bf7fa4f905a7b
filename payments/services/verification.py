"""Seeing that what the payments say and what the ledger did agree."""

import logging

from django.db import transaction

from fintech_core.database import allow_statement
from payments.selectors import list_payment_violations
from payments.services.issues import open_issue

logger = logging.getLogger(__name__)

# Everything is read in one statement, which sees one moment.
_SECONDS = 600


def verify_payments() -> list[tuple[str, str]]:
    """Every (invariant, subject) of intents, refunds and payouts that does not hold; each is flagged for
    an operator, once while that is open."""
    with transaction.atomic(durable=True):
        allow_statement(_SECONDS)
        violations = list_payment_violations()
        for invariant, subject in violations:
            open_issue(
                kind="invariant_broken",
                provider="",
                reference=subject,
                facts={"invariant": invariant},
            )
    for invariant, subject in violations:
        logger.critical(
            "payment_invariant_broken", extra={"invariant": invariant, "subject": subject}
        )
    return violations
