"""A provider within the test's own process, which does as it is told; and what tests ask of payments."""

import dataclasses
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from fintech_core.money import Money
from payments import services
from payments.models import PaymentIntent, Payout, Refund
from payments.providers import registry
from payments.providers.base import (
    InvalidSignature,
    PaymentState,
    PayoutState,
    Provider,
    ProviderEvent,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
    ProviderRefused,
    ProviderUnavailable,
    RefundState,
    SettlementRow,
)
from payments.selectors import list_payment_violations
from transactions.instructions import Request
from transactions.tests.factories import make_payee
from transactions.tests.hold_factories import ask
from users.models import User


class FakeProvider:
    """Keeps payments, refunds and payouts by our ids.

    ``away``: does not answer, having done nothing; ``mute``: does what it is asked and does not answer;
    ``refusal``: refuses with that code. ``calls`` are what it was asked.
    """

    name: ClassVar[str] = "fake"

    def __init__(self) -> None:
        self.away = self.mute = False
        self.refusal = ""
        self.calls: list[str] = []
        self.payments: dict[uuid.UUID, ProviderPayment] = {}
        self.refunds: dict[uuid.UUID, ProviderRefund] = {}
        self.payouts: dict[uuid.UUID, ProviderPayout] = {}
        self.confirmed_becomes = PaymentState.PROCESSING
        self.refunded_becomes = RefundState.PENDING
        self.paid_out_becomes = PayoutState.IN_TRANSIT
        self._lock = threading.Lock()

    def create_payment(self, *, intent_id: uuid.UUID, amount: Money) -> ProviderPayment:
        with self._asked("create"):
            return self.payments.setdefault(
                intent_id,
                ProviderPayment(
                    reference=f"pay_{uuid.uuid4().hex}",
                    intent_id=intent_id,
                    state=PaymentState.REQUIRES_CONFIRMATION,
                    amount=amount,
                    client_secret=f"secret_{intent_id.hex}",
                    checkout_url=f"https://pay.example/{intent_id}",
                ),
            )

    def confirm_payment(self, reference: str) -> ProviderPayment:
        with self._asked("confirm"):
            payment = self._payment(reference)
            if payment.state is PaymentState.REQUIRES_CONFIRMATION:
                self.become(payment, self.confirmed_becomes)
        return self._payment(reference)

    def cancel_payment(self, reference: str) -> ProviderPayment:
        with self._asked("cancel"):
            payment = self._payment(reference)
            if payment.state is not PaymentState.SUCCEEDED:
                self.become(payment, PaymentState.CANCELED)
        return self._payment(reference)

    def refund(self, *, refund_id: uuid.UUID, payment: str, amount: Money) -> ProviderRefund:
        with self._asked("refund"):
            return self.refunds.setdefault(
                refund_id,
                ProviderRefund(
                    reference=f"ref_{uuid.uuid4().hex}",
                    refund_id=refund_id,
                    payment=payment,
                    state=self.refunded_becomes,
                    amount=amount,
                ),
            )

    def pay_out(self, *, payout_id: uuid.UUID, amount: Money, destination: str) -> ProviderPayout:
        with self._asked("pay_out"):
            return self.payouts.setdefault(
                payout_id,
                ProviderPayout(
                    reference=f"out_{uuid.uuid4().hex}",
                    payout_id=payout_id,
                    state=self.paid_out_becomes,
                    amount=amount,
                ),
            )

    def fetch_payment(self, reference: str) -> ProviderPayment:
        with self._asked("fetch"):
            return self._payment(reference)

    def fetch_refund(self, reference: str) -> ProviderRefund:
        with self._asked("fetch"):
            return next(one for one in self.refunds.values() if one.reference == reference)

    def fetch_payout(self, reference: str) -> ProviderPayout:
        with self._asked("fetch"):
            return next(one for one in self.payouts.values() if one.reference == reference)

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        raise InvalidSignature

    def settlement_report(self, first: Any, last: Any) -> Iterable[SettlementRow]:
        return ()

    def become(self, payment: ProviderPayment, state: PaymentState, **changes: Any) -> None:
        """From now on that is its word."""
        assert payment.intent_id is not None
        now = self.payments[payment.intent_id]
        self.payments[payment.intent_id] = dataclasses.replace(now, state=state, **changes)

    def payment_of(self, intent: PaymentIntent) -> ProviderPayment:
        return self.payments[intent.pk]

    def _payment(self, reference: str) -> ProviderPayment:
        return next(one for one in self.payments.values() if one.reference == reference)

    def _asked(self, what: str) -> "_Asked":
        return _Asked(self, what)


class _Asked:
    """One call: it does not come in while the provider is away, nor its answer out while it is mute."""

    def __init__(self, provider: FakeProvider, what: str) -> None:
        self._provider, self._what = provider, what

    def __enter__(self) -> None:
        self._provider.calls.append(self._what)
        if self._provider.away:
            raise ProviderUnavailable
        if self._provider.refusal:
            raise ProviderRefused(self._provider.refusal)
        self._provider._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._provider._lock.release()
        if self._provider.mute:
            raise ProviderUnavailable


@pytest.fixture
def fake(committed: None, settings: Any) -> Iterator[FakeProvider]:
    """A provider of the test's own, the default one; afterwards everything about payments holds."""
    settings.DEFAULT_PAYMENT_PROVIDER = FakeProvider.name
    made = FakeProvider()
    checked: Provider = made
    with registry.registered(checked):
        yield made
    assert list_payment_violations() == []


def make_intent(user: User | None = None, amount: str = "25.00", **values: Any) -> PaymentIntent:
    """An intent that its provider knows."""
    user = user or make_payee()
    values.setdefault("request", asking(user, amount))
    made = services.create_intent(user=user, amount=amount, **values).intent
    assert made is not None
    return made


def asking(user: User, of: str = "") -> Request:
    """A request by the user under a new key."""
    return ask(user, of=of)


def make_paid_intent(
    provider: FakeProvider, user: User | None = None, amount: str = "25.00"
) -> PaymentIntent:
    """An intent that succeeded and was credited."""
    intent = make_intent(user, amount)
    tell(provider, intent, PaymentState.SUCCEEDED, fetched=True)
    return reread(intent)


def tell(
    provider: FakeProvider,
    intent: PaymentIntent,
    state: PaymentState,
    *,
    fetched: bool = False,
    now: bool = True,
    **changes: Any,
) -> services.Applied:
    """Apply what the provider says of an intent, in an event or asked; with ``now`` that is its word."""
    if now:
        provider.become(provider.payment_of(intent), state)
    said = dataclasses.replace(provider.payment_of(intent), state=state, **changes)
    return services.apply_payment(provider.name, said, fetched=fetched)


def reread(intent: PaymentIntent) -> PaymentIntent:
    return PaymentIntent.objects.get(pk=intent.pk)


def make_payout(user: User, amount: str = "10.00", **values: Any) -> Payout:
    """A payout that waits to be sent."""
    values.setdefault("request", asking(user, amount))
    values.setdefault("destination", "acct_test")
    made = services.create_payout(user=user, amount=amount, **values).payout
    assert made is not None
    return made


def make_refund(intent: PaymentIntent, amount: str | None = None, **values: Any) -> Refund:
    """A refund that waits to be sent."""
    user = User.objects.get(pk=intent.user_id)
    values.setdefault("request", asking(user, str(amount)))
    made = services.create_refund(intent_id=intent.pk, amount=amount, **values).refund
    assert made is not None
    return made


def dollars(amount: str) -> Money:
    return Money(Decimal(amount), "USD")
