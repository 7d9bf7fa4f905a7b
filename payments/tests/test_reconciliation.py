"""Settlement reports beside what we know: what is missing, extra or differing is said, nothing else."""

import uuid
from decimal import Decimal
from typing import Any

import pytest

from fintech_core.money import Money
from payments import services
from payments.providers.base import PaymentState, PayoutState, RefundState
from payments.services.reconciliation import list_unmatched
from payments.tests.fakes import make_intent, make_paid_intent
from payments.tests.reporting import (
    DAY,
    Reporting,
    fake,
    now,
    odd,
    paid_out,
    reconcile,
    refunded,
    sums,
    today,
)
from transactions.tests.factories import make_payee

__all__ = ["fake"]

pytestmark = pytest.mark.usefixtures("committed")


def test_what_both_sides_say_is_matched_and_the_sums_agree(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent)
    refund, payout = refunded(fake), paid_out(fake)
    fake.settle(refund)
    fake.settle(payout)
    run = reconcile(fake)
    assert (odd(run), run.is_clean, run.matched_count, run.line_count) == ([], True, 4, 4)
    assert sums(run) == {
        "currency": "USD",
        "ledger": "35.00",
        "report": "35.00",
        "difference": "0.00",
        "unmatched": "0.00",
        "timing": "0.00",
        "unattributed": "0.00",
        "fees": "0.60",
    }
    row = run.rows.get(subject_id=payout.pk)
    assert (row.own_amount, row.reported_amount) == (Decimal("-10.00"), Decimal("-10.00"))
    assert (row.own_status, row.kind, row.reference) == (
        "paid",
        "payout",
        payout.provider_reference,
    )
    assert row.posted_at is not None


def test_what_the_report_does_not_have_is_missing(fake: Reporting) -> None:
    intent, refund, payout = make_paid_intent(fake), refunded(fake), paid_out(fake)
    run = reconcile(fake)
    assert sorted(odd(run)) == sorted(
        ("missing", "", about.provider_reference) for about in (intent, refund, payout)
    )
    assert (run.missing_count, run.matched_count, run.is_clean) == (3, 1, False)
    assert (sums(run)["difference"], sums(run)["unmatched"], sums(run)["timing"]) == (
        "-10.00",
        "-10.00",
        "0.00",
    )


def test_what_we_do_not_have_is_extra(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent)
    fake.settle(intent, reference="pay_unheard_of", own_id=None)
    fake.settle(intent, reference="dp_1", kind="other", amount=Money(Decimal("-15.00"), "USD"))
    run = reconcile(fake)
    assert sorted(odd(run)) == [("extra", "", "dp_1"), ("extra", "", "pay_unheard_of")]
    assert (sums(run)["difference"], sums(run)["unmatched"]) == ("10.00", "10.00")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": Money(Decimal("24.99"), "USD")}, "amount"),
        ({"amount": Money(Decimal("-25.00"), "USD")}, "state"),
        ({"amount": Money(Decimal("0.00"), "USD")}, "state"),
        (
            {"amount": Money(Decimal("25.00"), "EUR"), "fee": Money(Decimal(0), "EUR")},
            "currency",
        ),
        ({"reference": "pay_another"}, "reference"),
    ],
)
def test_what_is_not_the_same_is_differing(
    fake: Reporting, changes: dict[str, Any], reason: str
) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent, **changes)
    run = reconcile(fake)
    told = [(row.outcome, row.reason, row.subject_id) for row in list_unmatched(run)]
    assert told == [("differing", reason, intent.pk)]


def test_a_line_that_is_there_twice_differs(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent)
    fake.settle(intent)
    run = reconcile(fake)
    [row] = list_unmatched(run)
    assert (row.reason, row.reported_amount, row.line_count) == ("amount", Decimal("50.00"), 2)


def test_a_payment_that_we_do_not_think_paid_differs(fake: Reporting) -> None:
    """The worst of all: the money is there, and nobody was credited."""
    intents = [make_intent() for _ in range(2)]
    fake.become(fake.payment_of(intents[1]), PaymentState.CANCELED)
    services.apply_payment(fake.name, fake.payment_of(intents[1]), fetched=True)
    for intent in intents:
        fake.settle(intent)
    assert [reason for _, reason, _ in odd(reconcile(fake))] == ["state", "state"]


def test_what_is_still_on_its_way_is_no_alarm(fake: Reporting) -> None:
    refund, payout = refunded(fake, RefundState.PENDING), paid_out(fake, PayoutState.IN_TRANSIT)
    make_intent()
    run = reconcile(fake)
    assert (odd(run), run.matched_count) == ([], 1)
    assert sums(run)["timing"] == "5.00"
    fake.settle(refund)
    fake.settle(payout)
    again = reconcile(fake)
    assert (odd(again), again.matched_count) == ([], 3)
    assert sums(again)["timing"] == "-10.00"


def test_what_left_and_came_back_is_matched(fake: Reporting) -> None:
    payout = paid_out(fake, PayoutState.FAILED)
    fake.settle(payout)
    assert odd(reconcile(fake)) == [("differing", "state", payout.provider_reference)]
    fake.settle(payout, amount=payout.money)
    assert odd(reconcile(fake)) == []


def test_what_came_back_on_another_day_is_matched(fake: Reporting) -> None:
    payout = paid_out(fake, PayoutState.FAILED)
    fake.settle(payout, settled_at=now() - 5 * DAY)
    assert odd(reconcile(fake, back=5)) == [("differing", "state", payout.provider_reference)]
    fake.settle(payout, amount=payout.money)
    assert odd(reconcile(fake)) == []
    assert odd(reconcile(fake, back=5)) == []


@pytest.mark.parametrize("late", [-1, 1])
def test_what_is_settled_a_day_apart_is_no_alarm_and_tells_the_day(
    fake: Reporting, late: int
) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent, settled_at=now() + late * DAY)
    run = reconcile(fake)
    assert (odd(run), fake.asked) == ([], [(today() - DAY, today() + DAY)])
    [row] = run.rows.all()
    assert row.settled_at is not None
    assert row.posted_at is not None
    assert row.settled_at.date() - row.posted_at.date() == late * DAY
    assert (sums(run)["difference"], sums(run)["timing"]) == ("-25.00", "-25.00")


def test_the_day_around_says_nothing_of_itself(fake: Reporting) -> None:
    """What is extra there, its own day's run says."""
    intent = make_paid_intent(fake)
    fake.settle(intent)
    fake.settle(intent, reference="pay_other", own_id=None, settled_at=now() - DAY)
    run = reconcile(fake)
    assert (odd(run), run.line_count) == ([], 2)
    assert odd(reconcile(fake, back=1)) == [("extra", "", "pay_other")]


def test_what_an_earlier_run_has_seen_is_not_missing_later(fake: Reporting) -> None:
    """A payout is settled when it is sent, and paid days after."""
    payout = paid_out(fake)
    fake.settle(payout, settled_at=now() - 4 * DAY)
    assert odd(reconcile(fake)) == [("missing", "", payout.provider_reference)]
    assert odd(reconcile(fake, back=4)) == []
    assert odd(reconcile(fake)) == []


def test_a_posting_that_belongs_to_no_payment_is_told(fake: Reporting) -> None:
    services.record_deposit(
        provider=fake.name,
        user=make_payee(),
        amount=Money(Decimal("7.00"), "USD"),
        reference=uuid.uuid4().hex,
    )
    run = reconcile(fake)
    assert (odd(run), run.is_clean) == ([], False)
    assert (sums(run)["unattributed"], sums(run)["timing"]) == ("7.00", "0.00")
