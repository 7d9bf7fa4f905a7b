"""Payouts: held at once, sent once, posted when they were paid and given back when they were not."""

import dataclasses
import itertools
import uuid
from typing import Any

import pytest
from django.db import InterfaceError, transaction
from django.utils import timezone

from events.models import OutboxEvent
from fintech_core.exceptions import NotFound
from payments import services
from payments.models import PaymentIssue, Payout
from payments.providers.base import PayoutState, ProviderUnavailable
from payments.services import Applied, InvalidPaymentState
from payments.tests.fakes import FakeProvider, asking, make_payout
from transactions import declines
from transactions import services as ledger
from transactions.models import Transaction
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import ask, hold_status, standing
from users.models import User
from wallet.services import freeze_wallet, open_wallet, unfreeze_wallet


def sent(user: User, amount: str = "10.00") -> Payout:
    """A payout that its provider knows."""
    payout = make_payout(user, amount)
    services.check_payout(payout.pk)
    return reread(payout)


def reread(payout: Payout) -> Payout:
    return Payout.objects.get(pk=payout.pk)


def tell(
    fake: FakeProvider, payout: Payout, state: PayoutState, *, fetched: bool = False, code: str = ""
) -> Applied:
    told = fake.payouts[payout.pk] = dataclasses.replace(
        fake.payouts[payout.pk], state=state, failure_code=code
    )
    return services.apply_payout("fake", told, fetched=fetched)


def money_of(user: User) -> tuple[str, str]:
    wallet = wallet_of(user)
    return str(wallet.money(wallet.balance)), str(wallet.money(wallet.held))


def announced(payout: Payout) -> list[str]:
    rows = OutboxEvent.objects.filter(subject_id=payout.pk).order_by("sequence")
    return list(rows.values_list("type", flat=True))


def test_a_payout_is_held_sent_and_posted(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    payout = make_payout(user, "40.00")
    assert (payout.status, money_of(user)) == ("pending", ("100.00", "40.00"))
    assert (fake.calls, payout.next_attempt_at is not None) == ([], True)
    services.check_payout(payout.pk)
    assert (reread(payout).status, money_of(user)) == ("in_transit", ("100.00", "40.00"))
    for _ in range(2):
        assert tell(fake, payout, PayoutState.PAID) is Applied.DONE
    after = reread(payout)
    assert (after.status, after.next_attempt_at, money_of(user)) == (
        "paid",
        None,
        ("60.00", "0.00"),
    )
    assert announced(payout) == ["payout.paid"]
    capture = Transaction.objects.get(parent_id=payout.transaction_id)
    assert (capture.kind, capture.status, capture.amount) == ("withdrawal", "posted", after.amount)


def test_a_payout_that_failed_is_given_back(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    payout = sent(user, "40.00")
    for _ in range(2):
        assert tell(fake, payout, PayoutState.FAILED, code="account_closed") is Applied.DONE
    after = reread(payout)
    assert (after.status, after.failure_code) == ("failed", "account_closed")
    assert (money_of(user), announced(payout)) == (("100.00", "0.00"), ["payout.failed"])
    assert tell(fake, payout, PayoutState.PAID) is Applied.DOUBT
    assert tell(fake, payout, PayoutState.PAID, fetched=True) is Applied.MISMATCH
    assert PaymentIssue.objects.get(subject_id=payout.pk).kind == "state_mismatch"
    assert money_of(user) == ("100.00", "0.00")


def test_a_payout_that_its_provider_refuses_or_calls_off_has_failed(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    called_off = sent(user)
    assert tell(fake, called_off, PayoutState.CANCELED) is Applied.DONE
    fake.refusal = "invalid_destination"
    refused = sent(user)
    assert [(reread(p).status, reread(p).failure_code) for p in (called_off, refused)] == [
        ("failed", "canceled"),
        ("failed", "invalid_destination"),
    ]
    assert money_of(user) == ("100.00", "0.00")


def test_a_payout_that_comes_back_after_it_was_paid_is_credited_again(fake: FakeProvider) -> None:
    for order in itertools.permutations((PayoutState.PAID, PayoutState.FAILED)):
        user = make_payer("100.00")
        payout = sent(user, "40.00")
        for state in order:
            if tell(fake, payout, state) is Applied.DOUBT:
                tell(fake, payout, PayoutState.FAILED, fetched=True)
        assert (reread(payout).status, money_of(user)) == ("failed", ("100.00", "0.00"))
        assert announced(payout)[-1] == "payout.failed"


def test_every_order_of_the_events_of_a_payout_ends_the_same(fake: FakeProvider) -> None:
    states = (PayoutState.PENDING, PayoutState.IN_TRANSIT, PayoutState.PAID)
    for order in itertools.permutations(states):
        user = make_payer("100.00")
        payout = sent(user, "40.00")
        for state in [*order, *order]:
            if tell(fake, payout, state) is Applied.DOUBT:
                tell(fake, payout, PayoutState.PAID, fetched=True)
        assert (reread(payout).status, money_of(user)) == ("paid", ("60.00", "0.00")), order


def test_a_freeze_stops_new_payouts_and_not_what_was_paid(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    paid, failed = sent(user), sent(user)
    freeze_wallet(wallet_id=wallet_of(user).pk, acting_user=user, reason="test")
    refused = services.create_payout(
        user=user, amount="1.00", destination="acct", request=asking(user)
    )
    assert refused.outcome.transaction.decline_code == "wallet_frozen"
    assert tell(fake, paid, PayoutState.PAID) is Applied.DONE
    assert tell(fake, failed, PayoutState.FAILED) is Applied.DONE
    assert money_of(user) == ("90.00", "0.00")


def test_a_freeze_stops_what_was_not_sent_until_it_ends(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    payout, unwanted = make_payout(user, "40.00"), make_payout(user, "10.00")
    wallet_id = wallet_of(user).pk
    freeze_wallet(wallet_id=wallet_id, acting_user=user, reason="test")
    for _ in range(2):
        services.check_payout(payout.pk)
    services.check_payout(unwanted.pk)
    after = reread(payout)
    assert (after.status, after.attempts, fake.calls) == ("pending", 2, [])
    assert after.next_attempt_at is not None
    assert after.next_attempt_at > timezone.now()
    assert services.cancel_payout(user=user, payout_id=unwanted.pk).status == "canceled"
    unfreeze_wallet(wallet_id=wallet_id, acting_user=user, reason="test")
    services.check_payout(payout.pk)
    assert (reread(payout).status, reread(payout).attempts) == ("in_transit", 0)
    assert list(fake.payouts) == [payout.pk]


def test_refusals_come_in_the_order_of_the_contract(fake: FakeProvider) -> None:
    nobody, small, poor = make_payee(tier=0), make_payer("900.00", tier=1), make_payer("5.00")
    with pytest.raises(declines.KycRequired):
        make_payout(nobody)
    for user, amount, code in (
        (small, "1000.01", "limit_exceeded"),
        (poor, "5.01", "insufficient_funds"),
    ):
        before, request = standing(user), asking(user)
        for is_replay in (False, True):
            made = services.create_payout(
                user=user, amount=amount, destination="acct", request=request
            )
            assert made.payout is None
            assert (made.outcome.transaction.decline_code, made.outcome.is_replay) == (
                code,
                is_replay,
            )
        assert standing(user) == before
    with pytest.raises(declines.CurrencyMismatch):
        make_payout(poor, currency="EUR")


def test_payouts_count_for_the_limits_until_they_come_to_nothing(fake: FakeProvider) -> None:
    user = make_payer("3000.00", tier=1)
    first = sent(user, "1000.00")
    make_payout(user, "1000.00")
    refused = services.create_payout(
        user=user, amount="0.01", destination="acct", request=asking(user)
    )
    assert refused.outcome.transaction.decline_code == "limit_exceeded"
    tell(fake, first, PayoutState.FAILED)
    make_payout(user, "1000.00")


def test_a_retry_makes_no_second_payout(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    request = asking(user)
    first = make_payout(user, "40.00", request=request)
    assert make_payout(user, "40.00", request=request) == first
    assert money_of(user) == ("100.00", "40.00")
    with pytest.raises(declines.IdempotencyKeyReused):
        make_payout(user, "41.00", request=ask(user, request.idempotency_key, of="other"))


def test_a_payout_is_called_off_only_before_it_is_sent(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    waiting, on_its_way = make_payout(user), sent(user)
    assert services.cancel_payout(user=user, payout_id=waiting.pk).status == "canceled"
    assert money_of(user) == ("100.00", "10.00")
    for payout in (waiting, on_its_way):
        with pytest.raises(InvalidPaymentState) as raised:
            services.cancel_payout(user=user, payout_id=payout.pk)
        assert raised.value.facts == {"payment_status": reread(payout).status}
    for payout_id in (on_its_way.pk, uuid.uuid4()):
        with pytest.raises(NotFound):
            services.cancel_payout(user=make_payee(), payout_id=payout_id)
    Payout.objects.filter(pk=waiting.pk).update(next_attempt_at=timezone.now())
    services.check_payout(waiting.pk)
    assert (reread(waiting).status, len(fake.payouts)) == ("canceled", 1)


def test_calling_off_succeeds_also_where_the_answer_to_its_commit_is_lost(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_payer("100.00")
    payout = make_payout(user, "40.00")
    original = transaction.Atomic.__exit__
    lost: list[transaction.Atomic] = []

    def lose_the_first(atomic: transaction.Atomic, *raised: Any) -> None:
        original(atomic, *raised)
        if raised == (None, None, None) and getattr(atomic, "durable", False) and not lost:
            lost.append(atomic)
            raise InterfaceError("connection already closed")

    with monkeypatch.context() as patched:
        patched.setattr(transaction.Atomic, "__exit__", lose_the_first)
        called_off = services.cancel_payout(user=user, payout_id=payout.pk)
    assert (len(lost), called_off.status, reread(payout).status) == (1, "canceled", "canceled")
    assert money_of(user) == ("100.00", "0.00")
    with pytest.raises(InvalidPaymentState):
        services.cancel_payout(user=user, payout_id=payout.pk)


@pytest.mark.parametrize("trouble", ["away", "mute"])
def test_a_provider_that_does_not_answer_is_asked_again_for_the_same(
    fake: FakeProvider, trouble: str
) -> None:
    user = make_payer("100.00")
    payout = make_payout(user)
    setattr(fake, trouble, True)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            services.check_payout(payout.pk)
    waiting = reread(payout)
    assert (waiting.status, waiting.attempts, money_of(user)[1]) == ("in_transit", 2, "10.00")
    setattr(fake, trouble, False)
    services.check_payout(payout.pk)
    assert (reread(payout).provider_reference, len(fake.payouts)) == (
        fake.payouts[payout.pk].reference,
        1,
    )
    fake.payouts[payout.pk] = dataclasses.replace(fake.payouts[payout.pk], state=PayoutState.PAID)
    services.check_payout(payout.pk)
    assert (reread(payout).status, money_of(user)) == ("paid", ("90.00", "0.00"))


def test_nobody_ends_the_hold_of_a_payout_by_the_ledgers_own_calls(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    payout = make_payout(user)
    hold_id = payout.transaction_id
    with pytest.raises(declines.InvalidTransactionState):
        ledger.void_hold(hold_id=hold_id, request=ask(user))
    with pytest.raises(declines.NotTheRecipient):
        ledger.capture_hold(hold_id=hold_id, request=ask(user))
    with pytest.raises(declines.InvalidTransactionState):
        ledger.void_hold(hold_id=hold_id, request=ask(make_payee()), is_operator=True)
    ledger.expire_holds()
    assert hold_status(hold_id) == "open"
    assert balance_of(user) == "100.00"


def test_another_amount_is_flagged_and_nothing_moves(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    payout = sent(user)
    told = dataclasses.replace(
        fake.payouts[payout.pk], state=PayoutState.PAID, amount=payout.money + payout.money
    )
    assert services.apply_payout("fake", told, fetched=True) is Applied.MISMATCH
    assert PaymentIssue.objects.get(subject_id=payout.pk).kind == "amount_mismatch"
    assert money_of(user) == ("100.00", "10.00")


def test_a_retry_is_answered_when_its_wallet_is_closed_by_then(fake: FakeProvider) -> None:
    user = make_payee()
    euros = open_wallet(owner=user, currency="EUR", name="Euros")
    out, coming_in = asking(user), asking(user)
    for attempt in range(2):
        refused = services.create_payout(
            user=user, amount="1.00", currency="EUR", destination="acct", request=out
        ).outcome
        declined = services.create_intent(
            user=user, amount="9999999.00", currency="EUR", request=coming_in
        ).refusal
        assert declined is not None
        assert [refused.transaction.decline_code, declined.transaction.decline_code] == [
            "insufficient_funds",
            "balance_limit_exceeded",
        ]
        assert [refused.is_replay, declined.is_replay] == [bool(attempt)] * 2
        if not attempt:
            ledger.close_wallet(wallet_id=euros.pk, owner_id=user.pk)
    with pytest.raises(declines.WalletClosed):
        make_payout(user, "1.00", currency="EUR")
