"""Intents: credited once and exactly, whatever their provider says, and however often."""

import dataclasses
import datetime
import itertools
import uuid
from decimal import Decimal

import pytest

from events.models import OutboxEvent
from payments import services
from payments.models import IntentStatus, PaymentIntent, PaymentIssue
from payments.providers.base import PaymentState, ProviderRefused, ProviderUnavailable
from payments.services import Applied, ConfirmationRefused, InvalidPaymentState
from payments.tests.fakes import (
    FakeProvider,
    asking,
    dollars,
    make_intent,
    make_paid_intent,
    reread,
    tell,
)
from transactions import declines
from transactions.models import Transaction
from transactions.tests.factories import balance_of, make_payee, wallet_of
from users.models import User
from wallet.services import freeze_wallet, open_wallet, unfreeze_wallet

WAITING, PROCESSING = PaymentState.REQUIRES_CONFIRMATION, PaymentState.PROCESSING
SUCCEEDED, FAILED = PaymentState.SUCCEEDED, PaymentState.FAILED
CANCELED = PaymentState.CANCELED


def issues(intent: PaymentIntent) -> list[str]:
    return list(PaymentIssue.objects.filter(subject_id=intent.pk).values_list("kind", flat=True))


def announced(intent: PaymentIntent) -> list[tuple[str, int | None]]:
    rows = OutboxEvent.objects.filter(subject_id=intent.pk).order_by("sequence")
    return list(rows.values_list("type", "sequence"))


def owner_of(intent: PaymentIntent) -> User:
    return User.objects.get(pk=intent.user_id)


def test_an_intent_is_made_here_first_and_then_at_its_provider(fake: FakeProvider) -> None:
    user = make_payee()
    intent = make_intent(user, "25.00")
    assert (intent.status, intent.money.amount, intent.wallet_id) == (
        "requires_confirmation",
        Decimal("25.00"),
        wallet_of(user).pk,
    )
    assert intent.provider_reference == fake.payment_of(intent).reference
    assert intent.client_secret.startswith("secret_")
    assert (fake.calls, balance_of(user)) == (["create"], "0.00")


def test_a_retry_goes_on_where_the_provider_did_not_answer(fake: FakeProvider) -> None:
    user = make_payee()
    request = asking(user)
    for away, mute in ((True, False), (False, True)):
        fake.away, fake.mute = away, mute
        with pytest.raises(ProviderUnavailable):
            services.create_intent(user=user, amount="25.00", request=request)
    fake.mute = False
    made = services.create_intent(user=user, amount="25.00", request=request)
    again = services.create_intent(user=user, amount="25.00", request=request)
    assert made.intent is not None
    assert made.intent == again.intent
    assert (made.is_replay, again.is_replay) == (False, True)
    assert PaymentIntent.objects.filter(user=user).count() == len(fake.payments) == 1


def test_an_event_that_is_quicker_than_the_answer_does_not_lose_where_to_pay(
    fake: FakeProvider,
) -> None:
    user = make_payee()
    request = asking(user)
    fake.mute = True
    with pytest.raises(ProviderUnavailable):
        services.create_intent(user=user, amount="25.00", request=request)
    [payment] = fake.payments.values()
    told = dataclasses.replace(
        payment, state=PaymentState.PROCESSING, client_secret="", checkout_url=""
    )
    assert services.apply_payment("fake", told, fetched=False) is Applied.DONE
    fake.mute = False
    made = services.create_intent(user=user, amount="25.00", request=request).intent
    assert made is not None
    assert (made.client_secret, made.checkout_url) == (payment.client_secret, payment.checkout_url)
    again = services.create_intent(user=user, amount="25.00", request=request)
    assert (again.intent, again.is_replay, len(fake.payments)) == (made, True, 1)


def test_what_the_provider_refuses_has_failed(fake: FakeProvider) -> None:
    fake.refusal = "amount_too_small"
    intent = make_intent()
    assert (intent.status, intent.failure_code) == ("failed", "amount_too_small")
    assert announced(intent) == [("payment_intent.failed", 1)]


def test_another_request_may_not_use_the_key(fake: FakeProvider) -> None:
    user = make_payee()
    request = asking(user, of="one")
    services.create_intent(user=user, amount="25.00", request=request)
    other = asking(user, of="another")
    object.__setattr__(other, "idempotency_key", request.idempotency_key)
    with pytest.raises(declines.IdempotencyKeyReused):
        services.create_intent(user=user, amount="26.00", request=other)


def test_what_could_not_be_credited_is_declined_before_anybody_pays(
    fake: FakeProvider,
) -> None:
    small, frozen = make_payee(tier=0), make_payee()
    freeze_wallet(wallet_id=wallet_of(frozen).pk, acting_user=small, reason="test")
    for user, amount, code in (
        (small, "1000.01", "balance_limit_exceeded"),
        (frozen, "1.00", "wallet_frozen"),
    ):
        request = asking(user)
        for is_replay in (False, True):
            made = services.create_intent(user=user, amount=amount, request=request)
            assert made.refusal is not None
            assert (made.refusal.transaction.decline_code, made.is_replay) == (code, is_replay)
        assert not PaymentIntent.objects.filter(user=user).exists()
    assert fake.calls == []


def test_the_currency_finds_the_wallet(fake: FakeProvider) -> None:
    user = make_payee()
    with pytest.raises(declines.CurrencyMismatch):
        make_intent(user, "10.00", currency="EUR")
    euros = open_wallet(owner=user, currency="EUR", name="Euros")
    assert make_intent(user, "10.00", currency="EUR").wallet_id == euros.pk
    assert make_intent(user, "10.00", currency="USD").wallet_id == wallet_of(user).pk


def test_a_success_is_credited_and_announced_in_one_commit(fake: FakeProvider) -> None:
    intent = make_paid_intent(fake)
    assert intent.status == "succeeded"
    assert intent.transaction_id is not None
    posted = Transaction.objects.get(pk=intent.transaction_id)
    assert (posted.kind, posted.amount, posted.to_wallet_id) == (
        "deposit",
        intent.amount,
        intent.wallet_id,
    )
    [event] = OutboxEvent.objects.filter(subject_id=intent.pk)
    assert (event.type, event.owner_id, event.sequence) == (
        "payment_intent.succeeded",
        intent.user_id,
        1,
    )
    assert event.data is not None
    assert event.data["transaction"] == str(posted.pk)
    assert event.data["client_secret"] is event.data["checkout_url"] is None


def test_every_order_of_the_events_of_a_payment_ends_the_same(fake: FakeProvider) -> None:
    for order in itertools.permutations((WAITING, PROCESSING, FAILED, SUCCEEDED)):
        intent = make_intent()
        fake.become(fake.payment_of(intent), SUCCEEDED)
        for state in [*order, *order]:
            applied = tell(fake, intent, state, now=False)
            if applied is Applied.DOUBT:
                assert tell(fake, intent, SUCCEEDED, fetched=True) is Applied.DONE
        after = reread(intent)
        assert (after.status, issues(intent)) == ("succeeded", []), order
        assert balance_of(owner_of(intent)) == "25.00"
        assert [name for name, _ in announced(intent)].count("payment_intent.succeeded") == 1


@pytest.mark.parametrize("last", [FAILED, CANCELED])
def test_every_order_of_a_payment_that_came_to_nothing_ends_the_same(
    fake: FakeProvider, last: PaymentState
) -> None:
    others = {FAILED: [WAITING, PROCESSING], CANCELED: [WAITING, PROCESSING, FAILED]}[last]
    for order in itertools.permutations([*others, last]):
        intent = make_intent()
        for state in [*order, *order]:
            if tell(fake, intent, state, now=False) is Applied.DOUBT:
                tell(fake, intent, last, fetched=True)
        assert (reread(intent).status, issues(intent)) == (last.value, []), order
        assert balance_of(owner_of(intent)) == "0.00"


def test_an_event_alone_takes_back_nothing(fake: FakeProvider) -> None:
    intent = make_intent()
    assert tell(fake, intent, SUCCEEDED) is Applied.DOUBT
    tell(fake, intent, PROCESSING)
    tell(fake, intent, FAILED, failure_code="card_declined")
    assert reread(intent).failure_code == "card_declined"
    assert tell(fake, intent, SUCCEEDED) is Applied.DOUBT
    assert reread(intent).status == "failed"
    assert tell(fake, intent, SUCCEEDED, fetched=True) is Applied.DONE
    assert (reread(intent).status, reread(intent).failure_code) == ("succeeded", "")


def test_another_amount_or_currency_is_flagged_and_not_credited(fake: FakeProvider) -> None:
    intent = make_intent()
    less = dollars("24.99")
    for _ in range(2):
        applied = tell(fake, intent, SUCCEEDED, fetched=True, amount=less)
        assert applied is Applied.MISMATCH
    assert issues(intent) == ["amount_mismatch"]
    assert (reread(intent).status, balance_of(owner_of(intent))) == (
        "requires_confirmation",
        "0.00",
    )


def test_a_canceled_intent_never_credits(fake: FakeProvider) -> None:
    intent = make_intent()
    services.cancel_intent(user=owner_of(intent), intent_id=intent.pk)
    assert reread(intent).status == "canceled"
    assert tell(fake, intent, SUCCEEDED) is Applied.DOUBT
    assert tell(fake, intent, SUCCEEDED, fetched=True) is Applied.MISMATCH
    assert issues(intent) == ["state_mismatch"]
    assert balance_of(owner_of(intent)) == "0.00"


def test_what_is_not_ours_is_unknown(fake: FakeProvider) -> None:
    said = fake.payment_of(make_intent())
    object.__setattr__(said, "intent_id", uuid.uuid4())
    object.__setattr__(said, "reference", "pay_other")
    assert services.apply_payment("fake", said, fetched=True) is Applied.UNKNOWN
    assert services.apply_payment("nobody", said, fetched=True) is Applied.UNKNOWN


def test_a_payment_that_its_provider_does_not_name_by_our_id_is_found(
    fake: FakeProvider,
) -> None:
    intent = make_intent()
    assert tell(fake, intent, PROCESSING, intent_id=None) is Applied.DONE
    assert reread(intent).status == "processing"
    assert tell(fake, intent, SUCCEEDED, reference="pay_other") is Applied.MISMATCH
    assert issues(intent) == ["reference_mismatch"]


def test_money_that_a_wallet_may_not_take_is_credited_once_it_may(fake: FakeProvider) -> None:
    intent = make_intent()
    user = owner_of(intent)
    freeze_wallet(wallet_id=intent.wallet_id, acting_user=user, reason="test")
    for _ in range(2):
        assert tell(fake, intent, SUCCEEDED, fetched=True) is Applied.DONE
    waiting = reread(intent)
    assert (waiting.status, issues(intent)) == ("processing", ["credit_refused"])
    assert waiting.next_attempt_at is not None
    unfreeze_wallet(wallet_id=intent.wallet_id, acting_user=user, reason="test")
    services.check_intent(intent.pk)
    assert (reread(intent).status, balance_of(user)) == ("succeeded", "25.00")
    assert reread(intent).next_attempt_at is None


def test_a_confirmation_is_sent_and_its_answer_applied(fake: FakeProvider) -> None:
    intent = make_intent()
    user = owner_of(intent)
    fake.confirmed_becomes = SUCCEEDED
    assert services.confirm_intent(user=user, intent_id=intent.pk).status == "succeeded"
    assert balance_of(user) == "25.00"
    with pytest.raises(InvalidPaymentState) as raised:
        services.confirm_intent(user=user, intent_id=intent.pk)
    assert raised.value.facts == {"payment_status": "succeeded"}


@pytest.mark.parametrize("trouble", ["away", "mute"])
def test_a_confirmation_that_got_no_answer_is_sent_again_by_the_sweep(
    fake: FakeProvider, trouble: str
) -> None:
    intent = make_intent()
    user = owner_of(intent)
    setattr(fake, trouble, True)
    fake.confirmed_becomes = SUCCEEDED
    assert services.confirm_intent(user=user, intent_id=intent.pk).status == "processing"
    with pytest.raises(ProviderUnavailable):
        services.check_intent(intent.pk)
    before = reread(intent)
    setattr(fake, trouble, False)
    services.check_intent(intent.pk)
    assert (reread(intent).status, balance_of(user)) == ("succeeded", "25.00")
    assert before.attempts == 1


def test_an_intent_whose_confirmation_is_refused_waits_still(fake: FakeProvider) -> None:
    intent = make_intent()
    user = owner_of(intent)

    def refuse(reference: str) -> None:
        raise ProviderRefused("card_missing")

    fake.confirm_payment = refuse  # type: ignore[assignment, method-assign]
    with pytest.raises(ConfirmationRefused) as raised:
        services.confirm_intent(user=user, intent_id=intent.pk)
    assert raised.value.facts == {"provider_code": "card_missing"}
    assert (reread(intent).status, reread(intent).confirmed_at) == ("requires_confirmation", None)


def test_a_cancellation_asks_the_provider_first(fake: FakeProvider) -> None:
    paid = make_intent()
    fake.become(fake.payment_of(paid), SUCCEEDED)
    user = owner_of(paid)
    with pytest.raises(InvalidPaymentState):
        services.cancel_intent(user=user, intent_id=paid.pk)
    assert (reread(paid).status, balance_of(user)) == ("succeeded", "25.00")
    open_one = make_intent(user)
    fake.away = True
    with pytest.raises(ProviderUnavailable):
        services.cancel_intent(user=user, intent_id=open_one.pk)
    fake.away = False
    assert services.cancel_intent(user=user, intent_id=open_one.pk).status == "canceled"
    with pytest.raises(InvalidPaymentState):
        services.cancel_intent(user=user, intent_id=open_one.pk)


def test_an_intent_whose_making_got_no_answer_is_canceled_at_the_provider_too(
    fake: FakeProvider,
) -> None:
    user = make_payee()
    fake.mute = True
    with pytest.raises(ProviderUnavailable):
        make_intent(user)
    fake.mute = False
    [intent] = PaymentIntent.objects.filter(user=user)
    services.cancel_intent(user=user, intent_id=intent.pk)
    assert fake.payment_of(intent).state is CANCELED


def test_a_refresh_asks_now(fake: FakeProvider) -> None:
    intent = make_intent()
    user = owner_of(intent)
    fake.become(fake.payment_of(intent), SUCCEEDED)
    assert services.refresh_intent(user=user, intent_id=intent.pk).status == "succeeded"
    fake.away = True
    with pytest.raises(ProviderUnavailable):
        services.refresh_intent(user=user, intent_id=intent.pk)


def test_the_sweep_looks_less_and_less_often_and_not_for_ever(fake: FakeProvider) -> None:
    intent = make_intent()
    pauses = []
    for _ in range(12):
        services.check_intent(intent.pk)
        row = reread(intent)
        assert row.next_attempt_at is not None
        pause = row.next_attempt_at - datetime.datetime.now(datetime.UTC)
        pauses.append(round(pause.total_seconds() / 60))
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (10, 720)
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=31)
    late = PaymentIntent(
        user_id=intent.user_id,
        wallet_id=intent.wallet_id,
        amount=intent.amount,
        currency="USD",
        provider="fake",
        provider_reference=f"pay_{uuid.uuid4().hex}",
        idempotency_key=uuid.uuid4().hex,
        fingerprint=b"\x00" * 32,
        created_at=long_ago,
        next_attempt_at=long_ago,
    )
    late.save(force_insert=True)
    calls = len(fake.calls)
    services.check_intent(late.pk)
    assert (reread(late).next_attempt_at, len(fake.calls)) == (None, calls)
    assert reread(late).status == IntentStatus.REQUIRES_CONFIRMATION
