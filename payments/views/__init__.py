"""Money in and out over HTTP: a thin layer over ``payments.services``."""

from payments.views.intents import (
    IntentCancelView,
    IntentConfirmView,
    IntentListView,
    IntentRefreshView,
    IntentSimulateView,
    IntentView,
    RefundView,
)
from payments.views.payouts import PayoutCancelView, PayoutListView, PayoutView

__all__ = [
    "IntentCancelView",
    "IntentConfirmView",
    "IntentListView",
    "IntentRefreshView",
    "IntentSimulateView",
    "IntentView",
    "PayoutCancelView",
    "PayoutListView",
    "PayoutView",
    "RefundView",
]
