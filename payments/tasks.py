"""Talking to providers for rows that are due. Each task takes one id, and is harmless when run twice.

A provider that does not answer is no error: the row stays due, after a pause that grows.
"""

import logging
import time
import uuid
from collections.abc import Callable

from celery import shared_task

from fintech_core.exceptions import DomainError
from payments import services
from payments.models import PaymentIntent, Payout, Refund
from payments.models.movements import Movement
from payments.providers import breaker
from payments.providers.base import ProviderUnavailable

logger = logging.getLogger(__name__)

_NAMES: dict[type[Movement], str] = {
    PaymentIntent: "payment_intent",
    Refund: "refund",
    Payout: "payout",
}


@shared_task(name="payments.check_intent")
def check_intent_task(intent_id: str, attempts: int | None = None) -> None:
    """Ask the provider what has become of an intent."""
    _check(services.check_intent, PaymentIntent, intent_id, attempts)


@shared_task(name="payments.check_refund")
def check_refund_task(refund_id: str, attempts: int | None = None) -> None:
    """Send a refund, or ask what has become of it."""
    _check(services.check_refund, Refund, refund_id, attempts)


@shared_task(name="payments.check_payout")
def check_payout_task(payout_id: str, attempts: int | None = None) -> None:
    """Send a payout, or ask what has become of it."""
    _check(services.check_payout, Payout, payout_id, attempts)


def _check(
    check: Callable[[uuid.UUID, int | None], None],
    model: type[Movement],
    subject_id: str,
    attempts: int | None,
) -> None:
    """Look at it, unless that was done since the message was sent, or its provider hangs: then it is due
    again when its lease ends."""
    due = model._default_manager.filter(pk=subject_id, next_attempt_at__isnull=False)
    if attempts is not None:
        due = due.filter(attempts=attempts)
    provider = due.values_list("provider", flat=True).first()
    if provider is None or not breaker.lets_through(provider):
        return
    began = time.monotonic()
    try:
        check(uuid.UUID(subject_id), attempts)
    except DomainError as error:
        logger.warning(
            "provider_not_asked",
            extra={"subject": _NAMES[model], "subject_id": subject_id, "reason": error.code},
        )
        if isinstance(error, ProviderUnavailable):
            breaker.failed(provider, seconds=time.monotonic() - began)
            return
    breaker.answered(provider)
