"""What is refused of requests about money in and out."""

from typing import ClassVar

from fintech_core.exceptions import DomainError


class InvalidPaymentState(DomainError):
    """409: what has become of it does not allow this. Facts: ``payment_status``."""

    status: ClassVar[int] = 409
    code = "invalid_state"
    title = "This is not possible any more, or not yet."


class ConfirmationRefused(DomainError):
    """409: the provider does not let the payment happen as it is; something is missing that only
    the payer can give there. Facts: ``provider_code``."""

    status: ClassVar[int] = 409
    code = "confirmation_refused"
    title = "The payment provider did not accept the confirmation."
