"""What the platform asks of whoever moves money for it. Nothing else in the code knows which one it is.

Plain values cross this boundary. Every call is over the network and may take up to its time-out: none is
made inside a database transaction. A call that changes something carries a key of ours, so that it may be
sent again after ``ProviderUnavailable`` and happens once.
"""

import datetime
import enum
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from fintech_core.exceptions import ServiceUnavailable
from fintech_core.money import Money


class PaymentState(enum.StrEnum):
    """What has become of a payment, in the words of ``PaymentIntent.status``."""

    REQUIRES_CONFIRMATION = "requires_confirmation"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class PayoutState(enum.StrEnum):
    """What has become of a payout, in the words of ``Payout.status``."""

    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"
    CANCELED = "canceled"


class RefundState(enum.StrEnum):
    """What has become of a refund, in the words of ``Refund.status``."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """A payment as its provider tells it; ``reference`` is the provider's id, ``intent_id`` ours.

    ``intent_id`` is what was given with ``create_payment``, as the provider remembers it; None where it
    tells none.
    """

    reference: str
    intent_id: uuid.UUID | None
    state: PaymentState
    amount: Money
    failure_code: str = ""
    client_secret: str = ""
    checkout_url: str = ""


@dataclass(frozen=True, slots=True)
class ProviderRefund:
    """A refund as its provider tells it; ``refund_id`` is ours, ``payment`` the provider's payment."""

    reference: str
    refund_id: uuid.UUID | None
    payment: str
    state: RefundState
    amount: Money
    failure_code: str = ""


@dataclass(frozen=True, slots=True)
class ProviderPayout:
    """A payout as its provider tells it; ``payout_id`` is ours."""

    reference: str
    payout_id: uuid.UUID | None
    state: PayoutState
    amount: Money
    failure_code: str = ""


ProviderObject = ProviderPayment | ProviderRefund | ProviderPayout


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a provider's webhook says: ``happened`` as it was then; None for what does not concern us.

    ``event_id`` is unique at the provider. Events come late, repeatedly and in any order.
    """

    event_id: str
    type: str
    created_at: datetime.datetime
    happened: ProviderObject | None


@dataclass(frozen=True, slots=True)
class SettlementRow:
    """One line of a provider's settlement report: what it says it moved.

    ``kind`` is ``payment``, ``refund``, ``payout`` or ``other`` (a dispute, a fee of its own);
    ``amount`` is signed, positive where money came to the provider; ``fee`` is what the provider kept of
    it; ``reference`` its id, ``own_id`` ours.
    """

    kind: str
    reference: str
    own_id: uuid.UUID | None
    amount: Money
    fee: Money
    settled_at: datetime.datetime


class ProviderUnavailable(ServiceUnavailable):
    """503: the provider did not answer, or with an error of its own. Whether it acted is not known; the
    same call may be sent again with the same key."""

    code = "provider_unavailable"
    title = "The payment provider does not answer right now; repeat the request with the same key."


class ProviderRefused(Exception):
    """The provider understood, and refused for good; nothing happened. ``code`` is a stable word."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class InvalidSignature(Exception):
    """A webhook that its provider did not sign as it stands, or longer ago than five minutes, or whose
    time lies as far ahead."""


class UnreadableEvent(Exception):
    """A webhook that its provider did sign, and that is no event as its adapter knows them. Says why,
    without what stands in it."""


class Provider(Protocol):
    """One way for money in and out.

    Each method raises ``ProviderUnavailable``, and those that change something ``ProviderRefused``.
    Instances are shared by threads.
    """

    name: ClassVar[str]

    def create_payment(self, *, intent_id: uuid.UUID, amount: Money) -> ProviderPayment:
        """Announce a payment; ``intent_id`` is the key, so a second call returns the first's payment."""
        ...

    def confirm_payment(self, reference: str) -> ProviderPayment:
        """Let the payment happen; harmless when it was confirmed before."""
        ...

    def cancel_payment(self, reference: str) -> ProviderPayment:
        """Keep the payment from happening; returns it as it is then, canceled or not."""
        ...

    def refund(self, *, refund_id: uuid.UUID, payment: str, amount: Money) -> ProviderRefund:
        """Send a part of a payment back to who paid; ``refund_id`` is the key."""
        ...

    def pay_out(self, *, payout_id: uuid.UUID, amount: Money, destination: str) -> ProviderPayout:
        """Send money to a destination; ``payout_id`` is the key."""
        ...

    def fetch_payment(self, reference: str) -> ProviderPayment:
        """The payment as it is now."""
        ...

    def fetch_refund(self, reference: str) -> ProviderRefund:
        """The refund as it is now."""
        ...

    def fetch_payout(self, reference: str) -> ProviderPayout:
        """The payout as it is now."""
        ...

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        """Verify and parse a webhook: raw body, headers by lower-case name.

        Of a type that the adapter does not know it has nothing that happened. Raises
        ``InvalidSignature``, for what is signed ``UnreadableEvent``, and nothing else whatever is sent;
        works without the network.
        """
        ...

    def settlement_report(
        self, first: datetime.date, last: datetime.date
    ) -> Iterable[SettlementRow]:
        """What the provider says it moved on these UTC days, both included."""
        ...
