"""The simulator's settlement report beside what we know, also where it is told to be wrong."""

import datetime
import uuid
from typing import Any

import pytest

from payments import services
from payments.models import PaymentIntent, ReconciliationRow
from payments.providers.simulator import SimulatorProvider
from payments.services.reconciliation import list_unmatched, reconcile_with_provider
from payments.tests.fakes import asking, make_payout, make_refund
from payments.tests.simulators import Simulator, eventually
from transactions.tests.factories import make_payee, make_payer

pytestmark = pytest.mark.usefixtures("committed")

# Smallest units that have the simulator spoil its report (docs/providers.md).
MISSING, DIFFERS, EXTRA = "66.21", "66.22", "66.23"


def top_up(simulator: Simulator, amount: str = "25.00") -> PaymentIntent:
    """A payment that its payer made and that was credited."""
    user = make_payee()
    made = services.create_intent(user=user, amount=amount, request=asking(user, amount)).intent
    assert made is not None
    services.confirm_intent(user=user, intent_id=made.pk)
    simulator.simulate(made.provider_reference)
    intent = services.refresh_intent(user=user, intent_id=made.pk)
    assert intent.status == "succeeded"
    return intent


def wait_for_the_end(simulator: Simulator, path: str) -> None:
    """Of a refund or payout that takes its steps by itself."""
    eventually(lambda: simulator.call("GET", path).json()["status"] in {"succeeded", "paid"})


def rows_about(*subjects: uuid.UUID) -> dict[Any, ReconciliationRow]:
    """How today's report compares, of these only: the simulator has been at work for other tests."""
    today = datetime.datetime.now(datetime.UTC).date()
    run = reconcile_with_provider(provider="simulator", first=today, last=today)
    return {row.subject_id: row for row in run.rows.filter(subject_id__in=subjects)}


def test_payments_refunds_and_payouts_are_matched(simulator: Simulator) -> None:
    intent = top_up(simulator)
    refund = make_refund(intent, "5.00")
    payout = make_payout(make_payer("50.00"))
    services.check_refund(refund.pk)
    services.check_payout(payout.pk)
    adapter = SimulatorProvider()
    for subject, path in ((refund, "refunds"), (payout, "payouts")):
        subject.refresh_from_db()
        wait_for_the_end(simulator, f"/v1/{path}/{subject.provider_reference}")
    services.apply_refund(
        "simulator", adapter.fetch_refund(refund.provider_reference), fetched=True
    )
    services.apply_payout(
        "simulator", adapter.fetch_payout(payout.provider_reference), fetched=True
    )
    found = rows_about(intent.pk, refund.pk, payout.pk)
    assert {pk: row.outcome for pk, row in found.items()} == dict.fromkeys(
        (intent.pk, refund.pk, payout.pk), "matched"
    )
    assert str(found[intent.pk].reported_fee) == "0.60"
    assert found[payout.pk].own_status == "paid"


def test_what_it_leaves_out_and_what_it_changes_is_found(simulator: Simulator) -> None:
    missing, differing = top_up(simulator, MISSING), top_up(simulator, DIFFERS)
    found = rows_about(missing.pk, differing.pk)
    assert found[missing.pk].outcome == "missing"
    row = found[differing.pk]
    assert (row.outcome, row.reason) == ("differing", "amount")
    assert row.reported_amount != row.own_amount


def test_what_it_makes_up_is_found(simulator: Simulator) -> None:
    top_up(simulator, EXTRA)
    today = datetime.datetime.now(datetime.UTC).date()
    run = reconcile_with_provider(provider="simulator", first=today, last=today)
    extra = [row for row in list_unmatched(run) if row.outcome == "extra"]
    assert extra
    assert run.extra_count == len(extra)
    assert not run.is_clean
