"""Money in and out of the platform: one public function per use case.

Whatever a provider says comes true through ``applying`` alone.
"""

from payments.services.applying import Applied, apply_payment, apply_payout, apply_refund
from payments.services.deposits import record_deposit
from payments.services.errors import ConfirmationRefused, InvalidPaymentState
from payments.services.intents import (
    CreatedIntent,
    cancel_intent,
    check_intent,
    confirm_intent,
    create_intent,
    refresh_intent,
    simulate_intent,
)
from payments.services.payouts import CreatedPayout, cancel_payout, check_payout, create_payout
from payments.services.refunds import (
    REFUND_PERMISSION,
    CreatedRefund,
    check_refund,
    create_refund,
)

__all__ = [
    "REFUND_PERMISSION",
    "Applied",
    "ConfirmationRefused",
    "CreatedIntent",
    "CreatedPayout",
    "CreatedRefund",
    "InvalidPaymentState",
    "apply_payment",
    "apply_payout",
    "apply_refund",
    "cancel_intent",
    "cancel_payout",
    "check_intent",
    "check_payout",
    "check_refund",
    "confirm_intent",
    "create_intent",
    "create_payout",
    "create_refund",
    "record_deposit",
    "refresh_intent",
    "simulate_intent",
]
