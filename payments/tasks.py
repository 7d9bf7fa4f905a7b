"""Talking to providers for rows that are due. Each task takes one id, and is harmless when run twice.

A provider that does not answer is no error: the row stays due, after a pause that grows.
"""

import logging
import uuid
from collections.abc import Callable

from celery import shared_task

from fintech_core.exceptions import DomainError
from payments import services

logger = logging.getLogger(__name__)


@shared_task(name="payments.check_intent")
def check_intent_task(intent_id: str) -> None:
    """Ask the provider what has become of an intent."""
    _check(services.check_intent, "payment_intent", intent_id)


@shared_task(name="payments.check_refund")
def check_refund_task(refund_id: str) -> None:
    """Send a refund, or ask what has become of it."""
    _check(services.check_refund, "refund", refund_id)


@shared_task(name="payments.check_payout")
def check_payout_task(payout_id: str) -> None:
    """Send a payout, or ask what has become of it."""
    _check(services.check_payout, "payout", payout_id)


def _check(check: Callable[[uuid.UUID], None], subject: str, subject_id: str) -> None:
    try:
        check(uuid.UUID(subject_id))
    except DomainError as error:
        logger.warning(
            "provider_not_asked",
            extra={"subject": subject, "subject_id": subject_id, "reason": error.code},
        )
