"""What PostgreSQL refuses of intents, refunds and payouts, whoever asks."""

import dataclasses
import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from fintech_core.sqlstates import constraint_of
from payments.models import IntentStatus, PaymentIntent, PayoutStatus, Refund, RefundStatus
from payments.providers.base import PayoutState
from payments.selectors import list_payment_violations
from payments.services import apply_payout, cancel_payout, check_payout, record_deposit
from payments.services.steps import INTENT, PAYOUT, REFUND, Machine, Verdict
from payments.tests.fakes import (
    FakeProvider,
    make_intent,
    make_paid_intent,
    make_payout,
    make_refund,
)
from payments.tests.test_payouts import money_of
from transactions import services as ledger
from transactions.tests.factories import make_payee, make_payer
from users.models import User


def refused(statement: str, *values: Any) -> str | None:
    """The name of the fact that the statement would break, at once or at the commit."""
    with pytest.raises(IntegrityError) as raised:
        _commit(statement, values)
    return constraint_of(raised.value)


def _commit(statement: str, values: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


INTENTS, REFUNDS, PAYOUTS = (
    f"UPDATE payments_{name} SET " for name in ("paymentintent", "refund", "payout")
)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", "26.00"),
        ("currency", "EUR"),
        ("provider", "other"),
        ("provider_reference", "pay_other"),
        ("idempotency_key", "other"),
        ("created_at", "2020-01-01T00:00:00Z"),
    ],
)
def test_an_intent_stays_what_it_is(fake: FakeProvider, column: str, value: str) -> None:
    intent = make_intent()
    statement = f"{INTENTS} {column} = %s WHERE id = %s"
    assert refused(statement, value, intent.pk) == "intent_stays_what_it_is"


def test_an_intent_does_not_succeed_without_its_deposit(fake: FakeProvider) -> None:
    intent, other = make_intent(), make_paid_intent(fake)
    succeed = f"{INTENTS} status = 'succeeded'"
    assert (
        refused(f"{succeed} WHERE id = %s", intent.pk)
        == "intent_is_credited_exactly_when_it_succeeded"
    )
    with_anothers = f"{succeed}, transaction_id = %s WHERE id = %s"
    assert refused(with_anothers, other.transaction_id, intent.pk) == "intent_is_credited_exactly"
    same_wallet = make_intent(other.user)
    assert (
        refused(with_anothers, other.transaction_id, same_wallet.pk) == "intent_is_credited_exactly"
    )


def test_no_other_deposit_of_the_same_amount_makes_an_intent_succeed(fake: FakeProvider) -> None:
    intent = make_intent()
    user = User.objects.get(pk=intent.user_id)
    other = record_deposit(
        provider="fake", user=user, amount=intent.money, reference=uuid.uuid4().hex
    )
    succeed = f"{INTENTS} status = 'succeeded', transaction_id = %s WHERE id = %s"
    assert refused(succeed, other.id, intent.pk) == "intent_is_credited_exactly"


def test_the_hold_of_a_payout_ends_with_the_payout_alone(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    waiting, on_its_way = make_payout(user, "10.00"), make_payout(user, "20.00")
    check_payout(on_its_way.pk)
    for payout in (waiting, on_its_way):
        for end in (ledger.release_withdrawal_within, ledger.settle_withdrawal_within):
            with pytest.raises(IntegrityError) as raised, transaction.atomic():
                end(payout.transaction_id)
            assert constraint_of(raised.value) == "payout_fits_its_hold"
    assert money_of(user) == ("100.00", "30.00")
    tell_of = dataclasses.replace(fake.payouts[on_its_way.pk], state=PayoutState.PAID)
    apply_payout("fake", tell_of, fetched=True)
    cancel_payout(user=user, payout_id=waiting.pk)
    assert money_of(user) == ("80.00", "0.00")


def test_an_intent_that_was_credited_keeps_its_deposit(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    for change in ("transaction_id = NULL", "transaction_id = NULL, status = 'failed'"):
        assert refused(f"{INTENTS} {change} WHERE id = %s", intent.pk) is not None


@pytest.mark.parametrize(
    ("machine", "name", "statuses"),
    [
        (INTENT, "intent", IntentStatus.values),
        (REFUND, "refund", RefundStatus.values),
        (PAYOUT, "payout", PayoutStatus.values),
    ],
)
def test_postgresql_and_python_know_the_same_steps(
    committed: None, machine: Machine, name: str, statuses: list[str]
) -> None:
    ours = {
        ("payout", "pending", "in_transit"),  # A worker's.
        ("payout", "pending", "canceled"),  # The owner's.
    }
    for was in statuses:
        for becomes in statuses:
            with connection.cursor() as cursor:
                cursor.execute("SELECT payment_step_is_one(%s, %s, %s)", [name, was, becomes])
                [(allowed,)] = cursor.fetchall()
            told = machine.judge(was, becomes, fetched=True) is Verdict.GO
            expected = was == becomes or told or (name, was, becomes) in ours
            assert allowed == expected, (name, was, becomes)


def test_only_what_was_paid_is_refunded_and_no_more(fake: FakeProvider) -> None:
    waiting, paid = make_intent(), make_paid_intent(fake)
    change = f"{INTENTS} refunded_amount = %s WHERE id = %s"
    assert refused(change, "1.00", waiting.pk) == "only_what_was_paid_is_refunded"
    assert refused(change, "25.01", paid.pk) == "no_more_is_refunded_than_was_paid"
    assert refused(change, "1.00", paid.pk) == "refunds_are_counted"


def test_a_refund_has_its_ledger_transaction_and_keeps_it(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    assert intent.transaction_id is not None
    refund = make_refund(intent, "5.00")
    change = f"{REFUNDS} {{}} WHERE id = %s"
    assert refused(change.format("amount = 6"), refund.pk) == "refund_stays_what_it_is"
    failed = change.format("status = 'failed'")
    assert refused(failed, refund.pk) == "refund_is_returned_exactly_when_it_failed"
    forged = Refund(
        intent=intent,
        amount=Decimal("5.00"),
        currency="USD",
        provider="fake",
        transaction_id=intent.transaction_id,
    )
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        forged.save(force_insert=True)
    assert constraint_of(raised.value) == "refund_took_its_amount"


def test_a_payout_is_where_its_hold_is(fake: FakeProvider) -> None:
    payout = make_payout(make_payer("100.00"))
    change = f"{PAYOUTS} status = %s WHERE id = %s"
    assert refused(change, "canceled", payout.pk) == "payout_fits_its_hold"
    assert refused(change, "paid", payout.pk) == "payout_takes_only_allowed_steps"
    check_payout(payout.pk)
    for status in ("paid", "failed"):
        assert refused(change, status, payout.pk) == "payout_fits_its_hold"
    assert refused(change, "pending", payout.pk) == "payout_takes_only_allowed_steps"
    for column, value in (
        ("destination", "mine"),
        ("amount", "1.00"),
        ("user_id", make_payee().pk),
    ):
        statement = f"{PAYOUTS} {column} = %s WHERE id = %s"
        assert refused(statement, value, payout.pk) == "payout_stays_what_it_is"
    assert fake.payouts[payout.pk].state is PayoutState.IN_TRANSIT


def test_no_intent_begins_paid_or_for_anothers_wallet(fake: FakeProvider) -> None:
    intent = make_intent()
    copied = {
        "user_id": intent.user_id,
        "wallet_id": intent.wallet_id,
        "amount": intent.amount,
        "currency": "USD",
        "provider": "fake",
        "idempotency_key": uuid.uuid4().hex,
        "fingerprint": b"\x00" * 32,
    }
    for changes, fact in (
        ({"status": "processing"}, "intent_begins_unpaid"),
        ({"user_id": make_payee().pk}, "intent_is_for_a_wallet_of_its_user"),
        ({"amount": Decimal("0.001")}, "intent_is_for_a_wallet_of_its_user"),
        ({"amount": Decimal("-1.00")}, "no_more_is_refunded_than_was_paid"),
        ({"idempotency_key": intent.idempotency_key}, "intent_key_is_unique_per_user"),
        (
            {"provider_reference": intent.provider_reference},
            "intent_of_a_provider_is_known_once",
        ),
    ):
        values: dict[str, Any] = {**copied, **changes}
        with pytest.raises(IntegrityError) as raised, transaction.atomic():
            PaymentIntent(**values).save(force_insert=True)
        assert constraint_of(raised.value) == fact, changes


@pytest.mark.parametrize("table", ["paymentintent", "refund", "payout"])
def test_nothing_is_removed(fake: FakeProvider, owner: Any, table: str) -> None:
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM payments_{table}")
    for statement in (f"DELETE FROM payments_{table}", f"TRUNCATE payments_{table} CASCADE"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(statement)
        owner.rollback()


def test_what_stands_wrong_is_found(fake: FakeProvider, owner: Any) -> None:
    """Each fact is broken by the owner without triggers, seen, and rolled back."""
    paid, other, waiting = make_paid_intent(fake), make_paid_intent(fake), make_intent()
    refund, payout = make_refund(paid, "5.00"), make_payout(make_payer("100.00"))
    for table in ("paymentintent", "refund", "payout"):
        owner.execute(f"ALTER TABLE payments_{table} DISABLE TRIGGER USER")
    owner.execute(
        "ALTER TABLE payments_paymentintent"
        " DROP CONSTRAINT intent_is_credited_exactly_when_it_succeeded"
    )
    for statement, subject, fact in (
        (f"{INTENTS} status = 'succeeded' WHERE id = %s", waiting.pk, "I14 succeeded"),
        (f"{INTENTS} amount = 24 WHERE id = %s", paid.pk, "I14 succeeded"),
        (f"{INTENTS} refunded_amount = 4 WHERE id = %s", paid.pk, "I16 refunded is"),
        (f"{REFUNDS} amount = 4 WHERE id = %s", refund.pk, "I16 refund took"),
        (f"{PAYOUTS} status = 'canceled' WHERE id = %s", payout.pk, "P7 payout fits"),
        (f"{PAYOUTS} amount = 4 WHERE id = %s", payout.pk, "P7 payout fits"),
    ):
        owner.execute("SAVEPOINT before")
        owner.execute(statement, [subject])
        found = owner.execute("SELECT * FROM payment_violations()").fetchall()
        assert [one for one in found if one[0].startswith(fact) and one[1] == str(subject)], fact
        owner.execute("ROLLBACK TO before")
    owner.execute(
        f"{INTENTS} status = 'processing', transaction_id = NULL WHERE id = %s", [other.pk]
    )
    found = owner.execute("SELECT * FROM payment_violations()").fetchall()
    assert ("I12 deposit belongs to its intent alone", str(other.transaction_id)) in found
    owner.rollback()
    assert list_payment_violations() == []
