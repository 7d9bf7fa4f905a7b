"""Whatever happens at once to the same payment happens as if it came one after the other."""

import contextlib
import uuid
from decimal import Decimal

from django.db.models import Sum

from events.models import OutboxEvent
from payments import services
from payments.models import PaymentIntent, Payout, Refund
from payments.providers.base import PaymentState, PayoutState, RefundState
from payments.services import InvalidPaymentState
from payments.tests.fakes import (
    FakeProvider,
    asking,
    make_intent,
    make_paid_intent,
    make_payout,
    make_refund,
    reread,
    tell,
)
from payments.tests.test_payouts import money_of
from transactions.declines import IdempotencyKeyReused
from transactions.models import Transaction
from transactions.tests.factories import balance_of, make_payee, make_payer
from transactions.tests.hold_factories import ask
from users.models import User
from users.tests.factories import at_once


def test_webhooks_refreshes_and_confirmations_credit_once(fake: FakeProvider) -> None:
    intent = make_intent()
    user = User.objects.get(pk=intent.user_id)
    fake.confirmed_becomes = PaymentState.SUCCEEDED
    tell(fake, intent, PaymentState.PROCESSING)
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED)

    def act(number: int) -> None:
        if number % 3 == 0:
            services.refresh_intent(user=user, intent_id=intent.pk)
        elif number % 3 == 1:
            services.check_intent(intent.pk)
        else:
            tell(fake, intent, PaymentState.SUCCEEDED, now=False)

    at_once(10, act)
    assert (reread(intent).status, balance_of(user)) == ("succeeded", "25.00")
    deposits = Transaction.objects.filter(to_wallet_id=intent.wallet_id, kind="deposit")
    assert [row.status for row in deposits] == ["posted"]
    events = OutboxEvent.objects.filter(subject_id=intent.pk)
    assert [event.type for event in events] == ["payment_intent.succeeded"]


def test_confirmations_at_once_confirm_once(fake: FakeProvider) -> None:
    intent = make_intent()
    user = User.objects.get(pk=intent.user_id)
    fake.confirmed_becomes = PaymentState.SUCCEEDED

    def act(_: int) -> str:
        try:
            return services.confirm_intent(user=user, intent_id=intent.pk).status
        except InvalidPaymentState as refusal:
            return refusal.code

    assert set(at_once(10, act)) <= {"succeeded", "invalid_state"}
    assert balance_of(user) == "25.00"


def test_one_key_at_once_makes_one_intent(fake: FakeProvider) -> None:
    user = make_payee()
    key = uuid.uuid4().hex

    def act(number: int) -> PaymentIntent | str | None:
        of = "other" if number == 0 else "same"
        try:
            made = services.create_intent(user=user, amount="5.00", request=ask(user, key, of=of))
        except IdempotencyKeyReused as refusal:
            return refusal.code
        return made.intent

    answers = at_once(10, act)
    [intent] = PaymentIntent.objects.filter(user=user)
    assert set(map(str, answers)) == {str(intent), "idempotency_key_reused"}
    assert len(fake.payments) == 1


def test_refunds_at_once_never_add_up_to_more_than_was_paid(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake, make_payer("100.00"), amount="25.00")
    user = User.objects.get(pk=intent.user_id)

    def act(_: int) -> bool:
        made = services.create_refund(intent_id=intent.pk, amount="4.00", request=asking(user))
        return made.refund is not None

    assert sum(at_once(20, act)) == 6
    total = Refund.objects.filter(intent=intent).aggregate(total=Sum("amount"))["total"]
    assert total == reread(intent).refunded_amount == Decimal("24.00")
    assert balance_of(user) == "101.00"


def test_one_refund_sent_by_many_workers_is_one(fake: FakeProvider) -> None:
    refund = make_refund(make_paid_intent(fake))
    fake.refunded_becomes = RefundState.SUCCEEDED
    at_once(8, lambda _: services.check_refund(refund.pk))
    refund.refresh_from_db()
    assert (refund.status, len(fake.refunds)) == ("succeeded", 1)


def test_a_payout_is_called_off_or_sent_and_never_both(fake: FakeProvider) -> None:
    fake.paid_out_becomes = PayoutState.PAID
    outcomes = set()
    for _ in range(6):
        user = make_payer("100.00")
        payout = make_payout(user, "10.00")

        def act(number: int, user: User = user, payout: Payout = payout) -> None:
            if number == 0:
                services.check_payout(payout.pk)
                return
            with contextlib.suppress(InvalidPaymentState):
                services.cancel_payout(user=user, payout_id=payout.pk)

        at_once(4, act)
        payout.refresh_from_db()
        outcomes.add(payout.status)
        was_sent = payout.pk in fake.payouts
        assert (payout.status, was_sent) in {("paid", True), ("canceled", False)}
        assert money_of(user) == ("90.00" if was_sent else "100.00", "0.00")
    assert outcomes <= {"paid", "canceled"}


def test_payouts_at_once_never_hold_more_than_there_is(fake: FakeProvider) -> None:
    user = make_payer("50.00")

    def act(_: int) -> bool:
        made = services.create_payout(
            user=user, amount="20.00", destination="acct", request=asking(user)
        )
        return made.payout is not None

    assert sum(at_once(10, act)) == 2
    assert money_of(user) == ("50.00", "40.00")


def test_one_key_serves_one_kind_of_request_also_at_once(fake: FakeProvider) -> None:
    user = make_payer("500.00")
    for _ in range(8):
        key = uuid.uuid4().hex

        def act(number: int, key: str = key) -> str:
            try:
                if number % 2:
                    request = ask(user, key, of="in")
                    services.create_intent(user=user, amount="5.00", request=request)
                    return "intent"
                make_payout(user, "5.00", request=ask(user, key, of="out"))
            except IdempotencyKeyReused as refusal:
                return refusal.code
            return "payout"

        answers = set(at_once(6, act))
        assert len(answers - {"idempotency_key_reused"}) == 1
