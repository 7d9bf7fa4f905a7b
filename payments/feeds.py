"""What the relay hands to workers: intents to be asked about, refunds and payouts to be sent or
asked about.

A row is due when it was made, and again after growing pauses until its provider has said the last word:
so a webhook that never came costs time, and nothing else.
"""

from datetime import timedelta

from events.relay import hand_over_due
from payments.models import PaymentIntent, Payout, Refund

# Longer than a task takes: two calls to a provider, each with its time-out.
_LEASE = timedelta(minutes=2)


def hand_over_payouts() -> int:
    """Payouts that are to be sent, or asked about."""
    rows = Payout.objects.filter(next_attempt_at__isnull=False)
    return hand_over_due(rows, task="payments.check_payout", lease=_LEASE)


def hand_over_refunds() -> int:
    """Refunds that are to be sent, or asked about."""
    rows = Refund.objects.filter(next_attempt_at__isnull=False)
    return hand_over_due(rows, task="payments.check_refund", lease=_LEASE)


def hand_over_intents() -> int:
    """Intents whose provider has not said the last word."""
    rows = PaymentIntent.objects.filter(next_attempt_at__isnull=False)
    return hand_over_due(rows, task="payments.check_intent", lease=_LEASE)
