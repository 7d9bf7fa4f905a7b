"""A provider with a settlement report, and what a reconciliation of it says."""

import datetime
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from fintech_core.money import Money
from payments import services
from payments.models import PaymentIntent, Payout, ReconciliationRun, Refund
from payments.providers import registry
from payments.providers.base import (
    PayoutState,
    Provider,
    ProviderUnavailable,
    RefundState,
    SettlementRow,
)
from payments.services.reconciliation import list_unmatched, reconcile_with_provider
from payments.tests.fakes import FakeProvider, make_paid_intent, make_payout, make_refund
from transactions.tests.factories import make_payer

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def today() -> datetime.date:
    return now().date()


class Reporting(FakeProvider):
    """A provider of one test alone, with the report that the test writes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[SettlementRow] = []
        self.asked: list[tuple[datetime.date, datetime.date]] = []

    def settlement_report(self, first: Any, last: Any) -> Iterator[SettlementRow]:
        self.asked.append((first, last))
        for line in self.lines:
            if first <= line.settled_at.date() <= last:
                yield line
        if self.away:
            raise ProviderUnavailable

    def settle(self, about: PaymentIntent | Refund | Payout, **changes: Any) -> None:
        """A line of the report, as it should be unless told otherwise."""
        is_intent = isinstance(about, PaymentIntent)
        values: dict[str, Any] = {
            "kind": "payment" if is_intent else type(about).__name__.lower(),
            "reference": about.provider_reference,
            "own_id": about.pk,
            "amount": about.money if is_intent else -about.money,
            "fee": Money(Decimal("0.30") * is_intent, about.currency),
            "settled_at": now(),
            **changes,
        }
        self.lines.append(SettlementRow(**values))


@pytest.fixture
def fake(settings: Settings) -> Iterator[Reporting]:
    made = type("Own", (Reporting,), {"name": f"fake{uuid.uuid4().hex[:8]}"})()
    settings.DEFAULT_PAYMENT_PROVIDER = made.name
    settings.PAYMENT_PROVIDERS = []
    checked: Provider = made
    with registry.registered(checked):
        yield made


def reconcile(fake: Reporting, back: int = 0) -> ReconciliationRun:
    day = today() - back * DAY
    return reconcile_with_provider(provider=fake.name, first=day, last=day)


def odd(run: ReconciliationRun) -> list[tuple[str, str, str]]:
    return [(row.outcome, row.reason, row.reference) for row in list_unmatched(run)]


def sums(run: ReconciliationRun) -> dict[str, str]:
    [totals] = run.totals
    return totals


def refunded(fake: Reporting, state: RefundState = RefundState.SUCCEEDED) -> Refund:
    fake.refunded_becomes = state
    intent = make_paid_intent(fake)
    fake.settle(intent)
    refund = make_refund(intent, "5.00")
    services.check_refund(refund.pk)
    refund.refresh_from_db()
    return refund


def paid_out(fake: Reporting, state: PayoutState = PayoutState.PAID) -> Payout:
    fake.paid_out_becomes = state
    payout = make_payout(make_payer("50.00"))
    services.check_payout(payout.pk)
    payout.refresh_from_db()
    return payout
