"""Money in and out: what was asked, what became of it, what providers told."""

from payments.models.inbox import EventStatus, PaymentIssue, ProviderEvent
from payments.models.movements import (
    IntentStatus,
    PaymentIntent,
    Payout,
    PayoutStatus,
    Refund,
    RefundStatus,
)
from payments.models.reconciliation import (
    ReconciliationRow,
    ReconciliationRun,
    ReportSource,
    RowOutcome,
)

__all__ = [
    "EventStatus",
    "IntentStatus",
    "PaymentIntent",
    "PaymentIssue",
    "Payout",
    "PayoutStatus",
    "ProviderEvent",
    "ReconciliationRow",
    "ReconciliationRun",
    "Refund",
    "RefundStatus",
    "ReportSource",
    "RowOutcome",
]
