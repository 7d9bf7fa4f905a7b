"""What is refused of requests about money in and out."""

from typing import ClassVar

from fintech_core.exceptions import DomainError


class InvalidPaymentState(DomainError):
    """409: what has become of it does not allow this. Facts: ``payment_status``."""

    status: ClassVar[int] = 409
    code = "invalid_state"
    title = "This is not possible any more, or not yet."
