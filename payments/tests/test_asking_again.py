"""An operator has a provider asked again about what nothing asks about any more."""

import dataclasses
import uuid

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from events.models import AuditRecord
from fintech_core.exceptions import InvalidInput, NotFound
from payments import services
from payments.models import PaymentIntent, Payout, Refund
from payments.models.movements import Movement
from payments.providers.base import PaymentState, PayoutState, RefundState
from payments.services import InvalidPaymentState
from payments.services.asking import ask_again
from payments.tests.fakes import (
    FakeProvider,
    dollars,
    make_intent,
    make_paid_intent,
    make_payout,
    make_refund,
    reread,
    tell,
)
from transactions.tests.factories import balance_of, make_payer
from users.models import User
from users.tests.factories import make_staff


def press(row: Movement, user: User, reason: str = "It is right by now.") -> None:
    client = Client(HTTP_HOST="localhost")
    client.force_login(user)
    address = reverse(f"admin:payments_{row._meta.model_name}_ask_now", args=[row.pk])
    client.post(address, {"_form_submitted": "on", "reason": reason})


def test_what_did_not_fit_is_asked_about_again(fake: FakeProvider) -> None:
    intent = make_intent()
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED, amount=dollars("99.00"))
    services.check_intent(intent.pk)
    assert reread(intent).next_attempt_at is None
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED, amount=intent.money)
    press(intent, make_staff("payments.view_paymentintent"))
    services.check_intent(intent.pk)
    assert reread(intent).status == "requires_confirmation"
    acting = make_staff("payments.view_paymentintent", "payments.ask_provider")
    press(intent, acting)
    services.check_intent(intent.pk)
    assert reread(intent).status == "succeeded"
    assert balance_of(User.objects.get(pk=intent.user_id)) == "25.00"
    [record] = AuditRecord.objects.filter(subject_id=intent.pk)
    assert (record.action, record.actor_id, record.reason) == (
        "payment_intent.asked_again",
        acting.pk,
        "It is right by now.",
    )


def test_what_came_back_unnoticed_is_returned(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    payout, refund = make_payout(user, "10.00"), make_refund(make_paid_intent(fake, user))
    fake.paid_out_becomes, fake.refunded_becomes = PayoutState.PAID, RefundState.SUCCEEDED
    services.check_payout(payout.pk)
    services.check_refund(refund.pk)
    fake.payouts[payout.pk] = dataclasses.replace(fake.payouts[payout.pk], state=PayoutState.FAILED)
    fake.refunds[refund.pk] = dataclasses.replace(fake.refunds[refund.pk], state=RefundState.FAILED)
    operator = User.objects.create_superuser(f"{uuid.uuid4().hex}@example.com")
    for row in (payout, refund):
        press(row, operator)
    services.check_payout(payout.pk)
    services.check_refund(refund.pk)
    for row in (payout, refund):
        row.refresh_from_db()
        assert (row.status, row.next_attempt_at) == ("failed", None)
    assert balance_of(user) == "125.00"


def test_what_came_to_nothing_is_never_sent_again(fake: FakeProvider) -> None:
    user, operator = make_payer("100.00"), make_staff("payments.ask_provider")
    canceled = make_payout(user, "10.00")
    services.cancel_payout(user=user, payout_id=canceled.pk)
    called_off = make_intent(user)
    tell(fake, called_off, PaymentState.CANCELED)
    refund, payout = make_refund(make_paid_intent(fake, user)), make_payout(user, "10.00")
    fake.refusal = "charge_disputed"
    services.check_refund(refund.pk)
    services.check_payout(payout.pk)
    fake.refusal = ""
    calls = len(fake.calls)
    for row in (canceled, called_off, refund, payout):
        with pytest.raises(InvalidPaymentState):
            ask_again(type(row), subject_id=row.pk, acting_user=operator, reason="x")
    services.check_refund(refund.pk)
    services.check_payout(payout.pk)
    assert len(fake.calls) == calls


@pytest.mark.parametrize("model", [PaymentIntent, Refund, Payout])
def test_asking_again_wants_a_right_a_row_and_a_reason(
    fake: FakeProvider, model: type[Movement]
) -> None:
    operator, anybody = make_staff("payments.ask_provider"), make_staff()
    for user, reason, error in (
        (anybody, "x", PermissionDenied),
        (operator, " ", InvalidInput),
        (operator, "x", NotFound),
    ):
        with pytest.raises(error):
            ask_again(model, subject_id=uuid.uuid4(), acting_user=user, reason=reason)
