"""The Stripe adapter against a peer that follows Stripe's documentation."""

import datetime
import logging
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from fintech_core.fields import uuid7
from fintech_core.money import Money
from payments.providers import stripe as adapter
from payments.providers import stripe_http
from payments.providers.base import (
    PaymentState,
    PayoutState,
    ProviderRefused,
    ProviderUnavailable,
    RefundState,
)
from payments.providers.stripe import StripeProvider
from payments.providers.stripe_objects import from_minor_units, to_minor_units
from payments.providers.transport import CALLS_AT_ONCE
from payments.tests.stripe_peer import KEY, SECRET, Peer, serving

TEN = Money(Decimal("10.00"), "USD")


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as peer:
        yield peer


@pytest.fixture
def provider(peer: Peer, settings: Settings) -> StripeProvider:
    settings.STRIPE_API_KEY = KEY
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    settings.STRIPE_API_BASE = peer.url
    return StripeProvider()


def paid(provider: StripeProvider, peer: Peer) -> str:
    reference = provider.create_payment(intent_id=uuid7(), amount=TEN).reference
    peer.objects[reference]["payment_method"] = "pm_card_visa"
    provider.confirm_payment(reference)
    return reference


def an_old_id(hours: int) -> uuid.UUID:
    """An id of ours as it would have been made so long ago."""
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours)
    milliseconds = int(moment.timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80 | uuid7().int & (1 << 80) - 1)


def test_a_payment_is_created_once_per_intent_and_names_it(
    provider: StripeProvider, peer: Peer
) -> None:
    intent_id = uuid7()
    first = provider.create_payment(intent_id=intent_id, amount=TEN)
    again = provider.create_payment(intent_id=intent_id, amount=TEN)
    assert first == again
    assert (first.intent_id, first.state) == (intent_id, PaymentState.REQUIRES_CONFIRMATION)
    assert first.amount == TEN
    assert first.client_secret
    assert len(peer.objects) == 1
    method, path, headers = peer.requests[0]
    assert (method, path) == ("POST", "/v1/payment_intents")
    assert headers["Idempotency-Key"] == str(intent_id)
    assert headers["Stripe-Version"] == "2026-10-28.endive"


def test_a_key_that_was_used_for_another_request_leaves_the_outcome_open(
    provider: StripeProvider,
) -> None:
    """It was used: that nothing happened is the one thing that is known to be wrong."""
    intent_id = uuid7()
    provider.create_payment(intent_id=intent_id, amount=TEN)
    with pytest.raises(ProviderUnavailable):
        provider.create_payment(intent_id=intent_id, amount=TEN + TEN)


def test_a_payout_or_refund_whose_key_was_used_is_the_one_that_was_made(
    provider: StripeProvider, peer: Peer
) -> None:
    payout_id, refund_id, payment = uuid7(), uuid7(), paid(provider, peer)
    sent = provider.pay_out(payout_id=payout_id, amount=TEN, destination="ba_1")
    again = provider.pay_out(payout_id=payout_id, amount=TEN, destination="ba_2")
    assert again == sent
    four = Money(Decimal("4.00"), "USD")
    back = provider.refund(refund_id=refund_id, payment=payment, amount=four)
    assert provider.refund(refund_id=refund_id, payment=payment, amount=TEN) == back
    assert peer.objects[payment]["amount_refunded"] == 400


def test_a_used_key_of_which_nothing_is_found_leaves_the_outcome_open(
    provider: StripeProvider, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    payment = paid(provider, peer)
    for send in (
        lambda: provider.pay_out(payout_id=uuid7(), amount=TEN, destination="ba_1"),
        lambda: provider.refund(refund_id=uuid7(), payment=payment, amount=TEN),
    ):
        peer.plan(400, "idempotency_error")
        with pytest.raises(ProviderUnavailable):
            send()
    told = [r for r in caplog.records if r.getMessage() == "stripe_idempotency_key_reused"]
    assert [line.levelname for line in told] == ["ERROR"] * 2


def test_a_confirmed_payment_may_be_confirmed_again(provider: StripeProvider, peer: Peer) -> None:
    reference = paid(provider, peer)
    again = provider.confirm_payment(reference)
    assert (again.state, again.amount) == (PaymentState.SUCCEEDED, TEN)
    assert provider.cancel_payment(reference).state == PaymentState.SUCCEEDED


def test_without_a_payment_method_nothing_is_confirmed(provider: StripeProvider) -> None:
    made = provider.create_payment(intent_id=uuid7(), amount=TEN)
    with pytest.raises(ProviderRefused) as refusal:
        provider.confirm_payment(made.reference)
    assert refusal.value.code == "payment_intent_unexpected_state"
    assert provider.fetch_payment(made.reference).state == PaymentState.REQUIRES_CONFIRMATION


def test_a_decline_is_the_payments_failure_with_the_banks_word(
    provider: StripeProvider, peer: Peer
) -> None:
    made = provider.create_payment(intent_id=uuid7(), amount=TEN)
    peer.objects[made.reference]["payment_method"] = "pm_card_chargeDeclinedInsufficientFunds"
    for told in (provider.confirm_payment(made.reference), provider.fetch_payment(made.reference)):
        assert (told.state, told.failure_code) == (PaymentState.FAILED, "insufficient_funds")
    # Which is not Stripe's last word: the payer may choose another card.
    peer.objects[made.reference]["payment_method"] = "pm_card_visa"
    assert provider.confirm_payment(made.reference).state == PaymentState.SUCCEEDED


def test_a_canceled_payment_stays_canceled(provider: StripeProvider) -> None:
    made = provider.create_payment(intent_id=uuid7(), amount=TEN)
    for _ in range(2):
        assert provider.cancel_payment(made.reference).state == PaymentState.CANCELED
    assert provider.confirm_payment(made.reference).state == PaymentState.CANCELED


def test_a_succeeded_payment_is_what_was_received(provider: StripeProvider, peer: Peer) -> None:
    """Which may be less than was asked for; whoever credits it compares."""
    reference = paid(provider, peer)
    peer.objects[reference]["amount_received"] = 900
    assert provider.fetch_payment(reference).amount == Money(Decimal("9.00"), "USD")


def test_a_part_is_refunded_once_per_refund(provider: StripeProvider, peer: Peer) -> None:
    reference, refund_id = paid(provider, peer), uuid7()
    four = Money(Decimal("4.00"), "USD")
    first = provider.refund(refund_id=refund_id, payment=reference, amount=four)
    assert provider.refund(refund_id=refund_id, payment=reference, amount=four) == first
    assert (first.refund_id, first.payment) == (refund_id, reference)
    assert (first.state, first.amount) == (RefundState.PENDING, four)
    assert provider.fetch_refund(first.reference) == first
    assert peer.objects[reference]["amount_refunded"] == 400
    provider.refund(refund_id=uuid7(), payment=reference, amount=TEN - four)
    with pytest.raises(ProviderRefused) as refusal:
        provider.refund(refund_id=uuid7(), payment=reference, amount=four)
    assert refusal.value.code == "charge_already_refunded"


def test_a_payout_names_its_destination(provider: StripeProvider, peer: Peer) -> None:
    payout_id = uuid7()
    made = provider.pay_out(payout_id=payout_id, amount=TEN, destination="ba_1")
    assert provider.pay_out(payout_id=payout_id, amount=TEN, destination="ba_1") == made
    assert (made.payout_id, made.state) == (payout_id, PayoutState.PENDING)
    assert peer.objects[made.reference]["destination"] == "ba_1"
    peer.objects[made.reference] |= {"status": "failed", "failure_code": "account_closed"}
    told = provider.fetch_payout(made.reference)
    assert (told.state, told.failure_code) == (PayoutState.FAILED, "account_closed")
    too_much = Money(Decimal("10000.01"), "USD")
    with pytest.raises(ProviderRefused) as refusal:
        provider.pay_out(payout_id=uuid7(), amount=too_much, destination="ba_1")
    assert refusal.value.code == "balance_insufficient"


def test_what_was_sent_long_ago_is_looked_for_before_it_is_sent_again(
    provider: StripeProvider, peer: Peer
) -> None:
    """Stripe forgets keys after a day: without the look the money would leave twice."""
    reference, refund_id, payout_id = paid(provider, peer), an_old_id(hours=30), an_old_id(hours=30)
    refund = provider.refund(refund_id=refund_id, payment=reference, amount=TEN)
    payout = provider.pay_out(payout_id=payout_id, amount=TEN, destination="ba_1")
    peer.answers.clear()
    assert provider.refund(refund_id=refund_id, payment=reference, amount=TEN) == refund
    assert provider.pay_out(payout_id=payout_id, amount=TEN, destination="ba_1") == payout
    kinds = [made["object"] for made in peer.objects.values()]
    assert (kinds.count("refund"), kinds.count("payout")) == (1, 1)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (409, "invalid_request_error", "idempotency_key_in_use"),
        (429, "invalid_request_error", "rate_limit"),
        (429, "invalid_request_error", "lock_timeout"),
        (401, "invalid_request_error", ""),
        (403, "invalid_request_error", ""),
        (424, "api_error", ""),
        (500, "api_error", ""),
        (503, "api_error", ""),
    ],
)
def test_whatever_is_no_clear_refusal_may_be_sent_again(
    provider: StripeProvider, peer: Peer, status: int, kind: str, code: str
) -> None:
    intent_id = uuid7()
    peer.plan(status, kind, code, Retry_After="1", Stripe_Should_Retry="true")
    with pytest.raises(ProviderUnavailable):
        provider.create_payment(intent_id=intent_id, amount=TEN)
    assert len(peer.requests) == 1, "the library must not try again by itself"
    assert provider.create_payment(intent_id=intent_id, amount=TEN).intent_id == intent_id


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"id": 1}', "null", '{"object": "pay'])
def test_an_answer_that_makes_no_sense_leaves_the_outcome_open(
    provider: StripeProvider, peer: Peer, body: str
) -> None:
    peer.planned.append((200, body, {}))
    with pytest.raises(ProviderUnavailable):
        provider.create_payment(intent_id=uuid7(), amount=TEN)


def test_a_status_that_is_not_known_is_not_guessed_at(provider: StripeProvider, peer: Peer) -> None:
    reference = paid(provider, peer)
    peer.objects[reference]["status"] = "half_succeeded"
    with pytest.raises(ProviderUnavailable):
        provider.fetch_payment(reference)


@pytest.mark.parametrize("pace", [0.0, 0.05])
def test_nobody_waits_for_ever(
    provider: StripeProvider, peer: Peer, monkeypatch: pytest.MonkeyPatch, pace: float
) -> None:
    """Neither for an answer nor for its end, byte by byte."""
    monkeypatch.setattr(stripe_http, "TOTAL_SECONDS", 0.3)
    peer.pace = pace
    if not pace:
        peer.planned.append(1.0)
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        provider.create_payment(intent_id=uuid7(), amount=TEN)
    assert time.monotonic() - began < 1


def test_where_nobody_listens_and_where_it_points_elsewhere(
    provider: StripeProvider, peer: Peer, settings: Settings
) -> None:
    peer.planned.append((302, "", {"Location": f"{peer.url}/v1/payment_intents/pi_1"}))
    with pytest.raises(ProviderUnavailable):
        provider.fetch_payment("pi_1")
    assert len(peer.requests) == 1
    settings.STRIPE_API_BASE = "http://127.0.0.1:1"
    with pytest.raises(ProviderUnavailable):
        StripeProvider().fetch_payment("pi_1")


def test_many_threads_share_one_adapter(provider: StripeProvider, peer: Peer) -> None:
    ids = [uuid7() for _ in range(60)]
    with ThreadPoolExecutor(CALLS_AT_ONCE) as threads:
        made = list(
            threads.map(lambda own: provider.create_payment(intent_id=own, amount=TEN), ids * 2)
        )
    assert [told.intent_id for told in made] == ids * 2
    assert len({told.reference for told in made}) == len(peer.objects) == 60


def test_no_log_line_and_no_error_shows_the_key(
    provider: StripeProvider,
    peer: Peer,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "payments")
    settings.STRIPE_API_KEY = KEY[:-1]
    with pytest.raises(ProviderUnavailable) as refusal:
        StripeProvider().create_payment(intent_id=uuid7(), amount=TEN)
    [line] = [r for r in caplog.records if r.name == adapter.__name__]
    assert (line.levelname, line.getMessage()) == ("ERROR", "stripe_key_refused")
    told = f"{line.__dict__} {refusal.value!r} {refusal.value.__cause__!r}"
    assert KEY[:8] not in told
    assert refusal.value.__suppress_context__


def test_what_stripe_does_not_know_is_no_answer(provider: StripeProvider) -> None:
    """The key may be another account's: nothing follows from it."""
    for fetch in (provider.fetch_payment, provider.fetch_refund, provider.fetch_payout):
        with pytest.raises(ProviderUnavailable):
            fetch("pi_nowhere")
    with pytest.raises(ProviderRefused) as refusal:
        provider.refund(refund_id=uuid7(), payment="pi_nowhere", amount=TEN)
    assert refusal.value.code == "resource_missing"


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("10.99", "USD", 1099),
        ("500", "JPY", 500),
        ("5.120", "KWD", 5120),
        ("5", "ISK", 500),
        ("7", "UGX", 700),
        ("3.00", "MGA", 3),
        ("1000", "XOF", 1000),
        ("12.34", "HUF", 1234),
    ],
)
def test_amounts_are_counted_as_stripe_counts_them(amount: str, currency: str, minor: int) -> None:
    money = Money(Decimal(amount), currency)
    assert to_minor_units(money) == minor
    assert from_minor_units(minor, currency.lower()) == money


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("5.124", "KWD", "amount_not_representable"),
        ("3.50", "MGA", "amount_not_representable"),
        ("1.000", "LYD", "currency_not_supported"),
    ],
)
def test_what_stripe_cannot_say_exactly_is_refused_before_it_is_sent(
    provider: StripeProvider, peer: Peer, amount: str, currency: str, code: str
) -> None:
    with pytest.raises(ProviderRefused) as refusal:
        provider.create_payment(intent_id=uuid7(), amount=Money(Decimal(amount), currency))
    assert refusal.value.code == code
    assert peer.requests == []


def test_forints_are_paid_out_whole(provider: StripeProvider) -> None:
    money = Money(Decimal("10.45"), "HUF")
    with pytest.raises(ProviderRefused):
        provider.pay_out(payout_id=uuid7(), amount=money, destination="ba_1")
    ten = Money(Decimal("10.00"), "HUF")
    assert provider.pay_out(payout_id=uuid7(), amount=ten, destination="ba_1").amount == ten


def moved(peer: Peer, kind: str, amount: int, source: Any, **fields: Any) -> None:
    """A balance transaction."""
    fields = {"fee": 0, "currency": "usd", "created": 1_900_000_000, **fields}
    made = {"id": f"txn_{uuid.uuid4().hex}", "object": "balance_transaction", "type": kind}
    peer.balance.append({**made, "amount": amount, "source": source, **fields})


def test_the_settlement_report_tells_what_moved_on_these_days(
    provider: StripeProvider, peer: Peer
) -> None:
    own = [uuid7() for _ in range(3)]
    charge = {"id": "ch_1", "payment_intent": "pi_1", "metadata": {"fintech_core_id": str(own[0])}}
    refund = {"id": "re_1", "payment_intent": "pi_1", "metadata": {"fintech_core_id": str(own[1])}}
    payout = {"id": "po_1", "metadata": {"fintech_core_id": str(own[2])}}
    moved(peer, "charge", 1000, charge, fee=59)
    moved(peer, "refund", -400, refund)
    moved(peer, "payout", -300, payout)
    moved(peer, "payout_failure", 300, payout)
    moved(peer, "adjustment", -1500, {"id": "dp_1"}, fee=1500)
    moved(peer, "charge", 1, {"id": "ch_2"}, created=1_900_000_000 - 86_400)
    day = datetime.datetime.fromtimestamp(1_900_000_000, datetime.UTC).date()
    rows = list(provider.settlement_report(day, day))
    told = {(row.kind, row.reference, str(row.amount), row.own_id) for row in rows}
    assert len(rows) == 5
    assert told >= {
        ("payment", "pi_1", "10.00", own[0]),
        ("refund", "re_1", "-4.00", own[1]),
        ("payout", "po_1", "-3.00", own[2]),
        ("payout", "po_1", "3.00", own[2]),
    }
    [other] = [row for row in rows if row.kind == "other"]
    assert (str(other.amount), str(other.fee)) == ("-15.00", "15.00")
    assert {str(row.fee) for row in rows if row.kind == "payment"} == {"0.59"}


def test_a_long_report_is_read_page_by_page(provider: StripeProvider, peer: Peer) -> None:
    for number in range(250):
        moved(peer, "charge", 100, {"id": f"ch_{number}", "metadata": {}})
    day = datetime.datetime.fromtimestamp(1_900_000_000, datetime.UTC).date()
    rows = iter(provider.settlement_report(day, day))
    next(rows)
    assert len(peer.requests) == 1
    references = {row.reference for row in rows}
    assert len(references) == 249
    assert len(peer.requests) == 3


def test_a_report_that_breaks_off_says_so(provider: StripeProvider, peer: Peer) -> None:
    for number in range(150):
        moved(peer, "charge", 100, {"id": f"ch_{number}", "metadata": {}})
    day = datetime.datetime.fromtimestamp(1_900_000_000, datetime.UTC).date()
    rows = iter(provider.settlement_report(day, day))
    next(rows)
    peer.plan(500)
    with pytest.raises(ProviderUnavailable):
        list(rows)
