"""Refunds: never more than was paid, out of the wallet at once, and back where they failed."""

import dataclasses
import uuid
from decimal import Decimal

import pytest
from django.utils import timezone

from events.models import AuditRecord
from fintech_core.exceptions import NotFound
from payments import services
from payments.models import PaymentIntent, PaymentIssue, ProviderEvent, Refund
from payments.providers import base
from payments.providers.base import ProviderUnavailable, RefundState
from payments.services import Applied, InvalidPaymentState
from payments.services.events import ATTEMPTS_FOR_STRANGERS, handle_event, receive_event
from payments.tests.fakes import (
    FakeProvider,
    asking,
    make_intent,
    make_paid_intent,
    make_refund,
    reread,
)
from transactions import declines
from transactions import services as ledger
from transactions.models import Transaction
from transactions.tests.factories import balance_of, instruct, make_payee, wallet_of
from transactions.tests.hold_factories import ask, standing
from users.models import User
from wallet.services import freeze_wallet, unfreeze_wallet


def owner_of(intent: PaymentIntent) -> User:
    return User.objects.get(pk=intent.user_id)


def tell(
    fake: FakeProvider, refund: Refund, state: RefundState, *, fetched: bool = False, code: str = ""
) -> Applied:
    told = fake.refunds[refund.pk] = dataclasses.replace(
        fake.refunds[refund.pk], state=state, failure_code=code
    )
    return services.apply_refund("fake", told, fetched=fetched)


def test_a_refund_leaves_the_wallet_at_once_and_is_then_sent(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    user = owner_of(intent)
    refund = make_refund(intent, "10.00")
    assert (balance_of(user), refund.status) == ("15.00", "pending")
    assert reread(intent).refunded_amount == Decimal("10.00")
    posted = Transaction.objects.get(pk=refund.transaction_id)
    assert (posted.kind, posted.parent_id, posted.amount) == (
        "refund",
        intent.transaction_id,
        Decimal("10.00"),
    )
    services.check_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.provider_reference == fake.refunds[refund.pk].reference
    assert tell(fake, refund, RefundState.SUCCEEDED) is Applied.DONE
    refund.refresh_from_db()
    assert (refund.status, refund.next_attempt_at, balance_of(user)) == ("succeeded", None, "15.00")


def test_parts_never_add_up_to_more_than_was_paid(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake, amount="10.00")
    user = owner_of(intent)
    for amount in ("3.33", "3.33"):
        make_refund(intent, amount)
    before = standing(user)
    request = asking(user)
    for is_replay in (False, True):
        made = services.create_refund(intent_id=intent.pk, amount="3.35", request=request)
        assert made.refund is None
        assert (made.outcome.transaction.decline_code, made.outcome.is_replay) == (
            "reversal_exceeds_original",
            is_replay,
        )
        assert made.outcome.transaction.facts == {"remaining": "3.34", "currency": "USD"}
    assert standing(user) == before
    assert make_refund(intent).amount == Decimal("3.34")
    assert services.create_refund(intent_id=intent.pk, request=asking(user)).refund is None


def test_a_retry_makes_no_second_refund(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    user = owner_of(intent)
    request = asking(user)
    first = services.create_refund(intent_id=intent.pk, amount="5.00", request=request)
    again = services.create_refund(intent_id=intent.pk, amount="5.00", request=request)
    assert first.refund == again.refund
    assert (again.outcome.is_replay, balance_of(user)) == (True, "20.00")


def test_a_key_serves_one_kind_of_request(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    user = owner_of(intent)
    with pytest.raises(declines.IdempotencyKeyReused):
        make_refund(intent, "1.00", request=ask(user, intent.idempotency_key))
    refund_key = asking(user)
    make_refund(intent, "1.00", request=refund_key)
    with pytest.raises(declines.IdempotencyKeyReused):
        services.create_intent(
            user=user, amount="1.00", request=ask(user, refund_key.idempotency_key, of="other")
        )


def test_only_what_succeeded_is_refunded_and_only_by_who_may(fake: FakeProvider) -> None:
    waiting, paid = make_intent(), make_paid_intent(fake)
    with pytest.raises(InvalidPaymentState):
        make_refund(waiting)
    stranger = make_payee()
    for intent_id in (paid.pk, uuid.uuid4()):
        with pytest.raises(NotFound):
            services.create_refund(intent_id=intent_id, request=asking(stranger))
    made = services.create_refund(
        intent_id=paid.pk, amount="5.00", request=asking(stranger), is_operator=True
    )
    assert made.refund is not None
    [trail] = AuditRecord.objects.filter(subject_id=paid.pk)
    assert (trail.action, trail.actor_id) == ("payment.refunded", stranger.pk)


def test_what_was_spent_or_frozen_is_not_refunded(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    user = owner_of(intent)
    ledger.transfer(instruct(user, make_payee(), "20.00"))
    refused = services.create_refund(intent_id=intent.pk, request=asking(user)).outcome
    assert refused.transaction.decline_code == "insufficient_funds"
    freeze_wallet(wallet_id=wallet_of(user).pk, acting_user=user, reason="test")
    refused = services.create_refund(intent_id=intent.pk, request=asking(user)).outcome
    assert refused.transaction.decline_code == "wallet_frozen"
    assert (balance_of(user), reread(intent).refunded_amount) == ("5.00", 0)


def test_a_refund_that_failed_comes_back_and_may_be_made_again(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    user = owner_of(intent)
    refund = make_refund(intent)
    services.check_refund(refund.pk)
    for _ in range(2):
        assert tell(fake, refund, RefundState.FAILED, code="account_closed") is Applied.DONE
    refund.refresh_from_db()
    assert (refund.status, refund.failure_code) == ("failed", "account_closed")
    assert (balance_of(user), reread(intent).refunded_amount) == ("25.00", 0)
    assert make_refund(intent).amount == Decimal("25.00")


def test_a_refund_that_its_provider_refuses_comes_back(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    refund = make_refund(intent)
    fake.refusal = "charge_disputed"
    services.check_refund(refund.pk)
    refund.refresh_from_db()
    assert (refund.status, refund.failure_code) == ("failed", "charge_disputed")
    assert balance_of(owner_of(intent)) == "25.00"


def test_what_a_frozen_wallet_may_not_take_back_waits_for_it(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    user = owner_of(intent)
    refund = make_refund(intent)
    services.check_refund(refund.pk)
    freeze_wallet(wallet_id=wallet_of(user).pk, acting_user=user, reason="test")
    assert tell(fake, refund, RefundState.FAILED) is Applied.DONE
    refund.refresh_from_db()
    assert refund.status == "pending"
    assert PaymentIssue.objects.get(subject_id=refund.pk).kind == "return_refused"
    unfreeze_wallet(wallet_id=wallet_of(user).pk, acting_user=user, reason="test")
    services.check_refund(refund.pk)
    refund.refresh_from_db()
    assert (refund.status, balance_of(user)) == ("failed", "25.00")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_refund_that_succeeded_and_came_back_ends_the_same_in_any_order(
    fake: FakeProvider, order: tuple[int, int]
) -> None:
    intent = make_paid_intent(fake)
    refund = make_refund(intent)
    services.check_refund(refund.pk)
    states = (RefundState.SUCCEEDED, RefundState.FAILED)
    for index in order:
        if tell(fake, refund, states[index]) is Applied.DOUBT:
            tell(fake, refund, RefundState.FAILED, fetched=True)
    refund.refresh_from_db()
    assert (refund.status, balance_of(owner_of(intent))) == ("failed", "25.00")


@pytest.mark.parametrize("trouble", ["away", "mute"])
def test_a_provider_that_does_not_answer_is_asked_again(fake: FakeProvider, trouble: str) -> None:
    refund = make_refund(make_paid_intent(fake))
    setattr(fake, trouble, True)
    with pytest.raises(ProviderUnavailable):
        services.check_refund(refund.pk)
    setattr(fake, trouble, False)
    fake.refunded_becomes = RefundState.SUCCEEDED
    services.check_refund(refund.pk)
    services.check_refund(refund.pk)
    refund.refresh_from_db()
    assert len(fake.refunds) == 1
    assert refund.provider_reference


def test_another_amount_is_flagged(fake: FakeProvider) -> None:
    refund = make_refund(make_paid_intent(fake))
    services.check_refund(refund.pk)
    told = dataclasses.replace(
        fake.refunds[refund.pk], state=RefundState.SUCCEEDED, amount=refund.money + refund.money
    )
    assert services.apply_refund("fake", told, fetched=True) is Applied.MISMATCH
    assert PaymentIssue.objects.get(subject_id=refund.pk).kind == "amount_mismatch"


def test_what_is_not_ours_is_unknown(fake: FakeProvider) -> None:
    refund = make_refund(make_paid_intent(fake))
    services.check_refund(refund.pk)
    told = dataclasses.replace(
        fake.refunds[refund.pk], refund_id=uuid.uuid4(), reference="ref_other"
    )
    assert services.apply_refund("fake", told, fetched=True) is Applied.UNKNOWN


@pytest.mark.parametrize("is_of_ours", [True, False])
def test_a_refund_that_was_made_at_the_provider_is_flagged(
    fake: FakeProvider, *, is_of_ours: bool
) -> None:
    intent = make_paid_intent(fake)
    reference = f"ref_by_hand_{uuid.uuid4().hex}"
    happened = base.ProviderRefund(
        reference=reference,
        refund_id=None,
        payment=intent.provider_reference if is_of_ours else "pay_of_another_shop",
        state=RefundState.SUCCEEDED,
        amount=intent.money,
    )
    told = base.ProviderEvent(
        event_id=uuid.uuid4().hex, type="refund", created_at=timezone.now(), happened=happened
    )
    receive_event(provider="fake", told=told, body=b"{}")
    rows = ProviderEvent.objects.filter(event_id=told.event_id)
    for _ in range(ATTEMPTS_FOR_STRANGERS):
        rows.update(paused_until=timezone.now(), next_attempt_at=timezone.now())
        handle_event(rows.get().pk)
    assert rows.get().status == ("handled" if is_of_ours else "ignored")
    issues = PaymentIssue.objects.filter(reference=reference)
    expected = [("unknown_refund", intent.pk)] if is_of_ours else []
    assert list(issues.values_list("kind", "subject_id")) == expected
    assert balance_of(owner_of(intent)) == "25.00"
