"""What the relay hands to workers: intents to be asked about, refunds and payouts to be sent or
asked about.

A row is due when it was made, and again after growing pauses until its provider has said the last word:
so a webhook that never came costs time, and nothing else. What is sent for the first time goes to the
queue ``money``. All later looks go to ``looks``: however many wait there for a provider that hangs, they
delay nothing else. A message says how often its row was looked at, so of several only one is acted on.
"""

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet

from events.relay import hand_over_due
from fintech_core.queues import LOOKS
from payments.models import PaymentIntent, Payout, PayoutStatus, Refund

# Longer than a task takes: two calls to a provider, each with its time-out.
_LEASE = timedelta(minutes=2)


def hand_over_payouts() -> int:
    """Payouts that are to be sent, or asked about."""
    rows = Payout.objects.filter(next_attempt_at__isnull=False)
    unsent, sent = (
        rows.filter(status=PayoutStatus.PENDING),
        rows.exclude(status=PayoutStatus.PENDING),
    )
    return _hand_over(unsent, "payments.check_payout") + _hand_over(
        sent, "payments.check_payout", queue=LOOKS
    )


def hand_over_refunds() -> int:
    """Refunds that are to be sent, or asked about."""
    rows = Refund.objects.filter(next_attempt_at__isnull=False)
    is_unsent = Q(attempts=0, provider_reference="")
    return _hand_over(rows.filter(is_unsent), "payments.check_refund") + _hand_over(
        rows.exclude(is_unsent), "payments.check_refund", queue=LOOKS
    )


def hand_over_intents() -> int:
    """Intents whose provider has not said the last word."""
    rows = PaymentIntent.objects.filter(next_attempt_at__isnull=False)
    return _hand_over(rows, "payments.check_intent", queue=LOOKS)


def _hand_over(rows: "QuerySet[Any]", task: str, queue: str | None = None) -> int:
    return hand_over_due(rows, task=task, lease=_LEASE, carrying="attempts", queue=queue)
