"""Stripe's events: what is signed and fresh is read, and nothing else is, whatever bytes come."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from fintech_core.fields import uuid7
from payments.providers.base import (
    InvalidSignature,
    PaymentState,
    PayoutState,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
    RefundState,
    UnreadableEvent,
)
from payments.providers.records import to_json
from payments.providers.stripe import StripeProvider
from payments.tests.stripe_peer import KEY, SECRET, event, sign

OWN = uuid7()
PAYMENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 1000,
    "amount_received": 0,
    "currency": "usd",
    "client_secret": "pi_1_secret_x",
    "metadata": {"fintech_core_id": str(OWN)},
    "last_payment_error": None,
    "status": "processing",
}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 400,
    "currency": "usd",
    "metadata": {"fintech_core_id": str(OWN)},
    "payment_intent": "pi_1",
    "status": "pending",
}
PAYOUT = {
    "id": "po_1",
    "object": "payout",
    "amount": 300,
    "currency": "usd",
    "metadata": {"fintech_core_id": str(OWN)},
    "status": "in_transit",
}


@pytest.fixture
def provider(settings: Settings) -> StripeProvider:
    settings.STRIPE_API_KEY = KEY
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_of_before", SECRET]
    return StripeProvider()


def tell(provider: StripeProvider, kind: str, about: dict[str, Any], **overrides: Any) -> Any:
    body = event(kind, about, **overrides)
    return provider.read_event(body.encode(), sign(body))


@pytest.mark.parametrize(
    ("kind", "changes", "state", "code"),
    [
        ("created", {"status": "requires_payment_method"}, "requires_confirmation", ""),
        ("processing", {}, "processing", ""),
        ("requires_action", {"status": "requires_action"}, "processing", ""),
        ("succeeded", {"status": "succeeded", "amount_received": 1000}, "succeeded", ""),
        ("canceled", {"status": "canceled"}, "canceled", ""),
        (
            "payment_failed",
            {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "card_declined", "decline_code": "stolen_card"},
            },
            "failed",
            "stolen_card",
        ),
        (
            "payment_failed",
            {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "payment_intent_authentication_failure"},
            },
            "failed",
            "payment_intent_authentication_failure",
        ),
    ],
)
def test_what_a_payments_event_says(
    provider: StripeProvider, kind: str, changes: dict[str, Any], state: str, code: str
) -> None:
    told = tell(provider, f"payment_intent.{kind}", PAYMENT | changes).happened
    assert isinstance(told, ProviderPayment)
    assert (told.reference, told.intent_id, str(told.amount)) == ("pi_1", OWN, "10.00")
    assert (told.state, told.failure_code) == (PaymentState(state), code)


@pytest.mark.parametrize(
    ("kind", "status", "state", "code"),
    [
        ("refund.created", "pending", RefundState.PENDING, ""),
        ("refund.updated", "requires_action", RefundState.PENDING, ""),
        ("charge.refund.updated", "succeeded", RefundState.SUCCEEDED, ""),
        ("refund.failed", "failed", RefundState.FAILED, "expired_or_canceled_card"),
        ("refund.updated", "canceled", RefundState.FAILED, "expired_or_canceled_card"),
    ],
)
def test_what_a_refunds_event_says(
    provider: StripeProvider, kind: str, status: str, state: RefundState, code: str
) -> None:
    changes = {"status": status, "failure_reason": code}
    told = tell(provider, kind, REFUND | changes).happened
    assert isinstance(told, ProviderRefund)
    assert (told.reference, told.refund_id, told.payment) == ("re_1", OWN, "pi_1")
    assert (told.state, told.failure_code, str(told.amount)) == (state, code, "4.00")


@pytest.mark.parametrize("state", PayoutState)
def test_what_a_payouts_event_says(provider: StripeProvider, state: PayoutState) -> None:
    kind = "updated" if state in {"pending", "in_transit"} else state
    about = PAYOUT | {"status": state, "failure_code": "account_closed"}
    told = tell(provider, f"payout.{kind}", about).happened
    assert isinstance(told, ProviderPayout)
    assert (told.reference, told.payout_id, str(told.amount)) == ("po_1", OWN, "3.00")
    assert (told.state, bool(told.failure_code)) == (state, state == "failed")


def test_a_refunded_charge_tells_its_newest_refund_where_it_has_it(
    provider: StripeProvider,
) -> None:
    charge = {"id": "ch_1", "object": "charge", "payment_intent": "pi_1"}
    assert tell(provider, "charge.refunded", charge).happened is None
    refund = {key: value for key, value in REFUND.items() if key != "payment_intent"}
    told = tell(provider, "charge.refunded", charge | {"refunds": {"data": [refund]}}).happened
    assert isinstance(told, ProviderRefund)
    assert (told.reference, told.payment) == ("re_1", "pi_1")


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("customer.created", {"id": "cus_1", "object": "customer"}),
        ("payment_intent.amount_capturable_updated", PAYMENT),
        ("payment_intent.succeeded", PAYMENT | {"metadata": {}, "status": "succeeded"}),
        ("payout.paid", PAYOUT | {"metadata": {"fintech_core_id": "x"}, "status": "paid"}),
        ("refund.created", REFUND | {"payment_intent": None}),
    ],
)
def test_what_is_not_ours_is_taken_and_does_not_concern_us(
    provider: StripeProvider, kind: str, about: dict[str, Any]
) -> None:
    told = tell(provider, kind, about)
    assert (told.type, told.happened) == (kind, None)


def test_the_events_own_id_and_time(provider: StripeProvider) -> None:
    told = tell(provider, "payout.paid", PAYOUT, id="evt_9", created=1_900_000_000)
    assert (told.event_id, told.created_at.isoformat()) == ("evt_9", "2030-03-17T17:46:40+00:00")


@pytest.mark.parametrize(
    ("age", "is_good"), [(295, True), (305, False), (-290, True), (-310, False)]
)
def test_five_minutes_count_both_ways(provider: StripeProvider, age: int, is_good: bool) -> None:
    body = event("payout.paid", PAYOUT)
    if is_good:
        assert provider.read_event(body.encode(), sign(body, age=age))
        return
    with pytest.raises(InvalidSignature):
        provider.read_event(body.encode(), sign(body, age=age))


def test_what_is_read_in_an_event_and_kept_lets_nobody_pay(provider: StripeProvider) -> None:
    """Its body, which is kept as it was signed, would."""
    body = event("payment_intent.processing", PAYMENT)
    happened = provider.read_event(body.encode(), sign(body)).happened
    assert happened is not None
    assert str(PAYMENT["client_secret"]) in body
    assert str(PAYMENT["client_secret"]) not in str(to_json(happened))


def test_each_of_several_secrets_is_good_and_no_other(
    provider: StripeProvider, settings: Settings
) -> None:
    body = event("payout.paid", PAYOUT)
    for secret in ("whsec_of_before", SECRET):
        assert provider.read_event(body.encode(), sign(body, secret)).happened
    both = sign(body, "whsec_other")["stripe-signature"]
    both += "," + sign(body)["stripe-signature"].split(",")[1]
    assert provider.read_event(body.encode(), {"stripe-signature": both})
    with pytest.raises(InvalidSignature):
        provider.read_event(body.encode(), sign(body, "whsec_other"))
    settings.STRIPE_WEBHOOK_SECRETS = []
    with pytest.raises(InvalidSignature):
        StripeProvider().read_event(body.encode(), sign(body, ""))


@pytest.mark.parametrize("is_live", [True, False])
def test_an_event_of_the_other_mode_is_refused(settings: Settings, is_live: bool) -> None:
    """A payment of the test mode must never be credited where money is real."""
    settings.STRIPE_API_KEY = "sk_live_x" if is_live else KEY
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    provider = StripeProvider()
    assert tell(provider, "payout.paid", PAYOUT, livemode=is_live)
    for other in (not is_live, None, "true", int(is_live)):
        with pytest.raises(UnreadableEvent):
            tell(provider, "payout.paid", PAYOUT, livemode=other)


def header(body: str, **changes: str) -> str:
    parts = dict(part.split("=") for part in sign(body)["stripe-signature"].split(","))
    return ",".join(f"{name}={value}" for name, value in (parts | changes).items())


def test_a_changed_body_or_header_is_refused(provider: StripeProvider) -> None:
    body = event("payout.paid", PAYOUT)
    good = sign(body)["stripe-signature"]
    for header_, body_ in [
        (good, body.replace("300", "301")),
        (good, body + " "),
        (good, ""),
        ("", body),
        (good.replace("v1=", "v0="), body),
        (good[:-1], body),
        (header(body, t=str(int(time.time()) + 1)), body),
        (header(body, t="9" * 5000), body),
        (header(body, t="-1"), body),
        (header(body, t="١"), body),
        (header(body, v1="é"), body),
        (header(body) + f",t={int(time.time())}", body),
        ("t=" + good, body),
    ]:
        with pytest.raises(InvalidSignature):
            provider.read_event(body_.encode(), {"stripe-signature": header_})
    with pytest.raises(InvalidSignature):
        provider.read_event(body.encode(), {})


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"event"',
        "{}",
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"object": "event", "created": 1e400}',
        json.dumps(event("payout.paid", PAYOUT)),
        event("payout.paid", PAYOUT, id="evt_\x00"),
        event("payout.paid", PAYOUT, id="evt_" + "x" * 300),
        event("payout.paid", PAYOUT, created=10**18),
        event("payout.paid", PAYOUT, created="1"),
        event("payout.paid", PAYOUT, data=None),
        event("payout.paid", PAYOUT, data={"object": []}),
        event("payout.paid", PAYOUT | {"status": "nearly"}),
        event("payout.paid", PAYOUT | {"amount": 10**400}),
        event("payout.paid", PAYOUT | {"amount": 1.5}),
        event("payout.paid", PAYOUT | {"amount": True}),
        event("payout.paid", PAYOUT | {"currency": "dollars"}),
        event("payout.paid", PAYOUT | {"currency": None}),
        event("payout.paid", PAYOUT | {"amount": 550, "currency": "isk"}),
        event("payout.paid", PAYOUT | {"id": None}),
    ],
)
def test_what_is_signed_and_makes_no_sense_is_refused(provider: StripeProvider, body: str) -> None:
    """Not answered with 200: Stripe would never send it again."""
    with pytest.raises(UnreadableEvent):
        provider.read_event(body.encode(), sign(body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
FUZZ = hypothesis_settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(body=st.binary(max_size=200), text=st.text(max_size=120), signed=st.booleans())
def test_no_bytes_make_it_raise_anything_else(
    provider: StripeProvider, body: bytes, text: str, signed: bool
) -> None:
    headers = {"stripe-signature": text}
    if signed:
        headers = sign(body.decode("utf-8", "replace"))
    with pytest.raises((InvalidSignature, UnreadableEvent)):
        provider.read_event(body, headers)


@FUZZ
@given(
    about=st.sampled_from([PAYMENT, REFUND, PAYOUT]),
    changes=st.dictionaries(
        st.sampled_from([*PAYMENT, "payment_intent", "failure_code"]), json_values, max_size=3
    ),
    around=st.dictionaries(
        st.sampled_from(["id", "created", "type", "data", "object"]), json_values, max_size=1
    ),
)
def test_nor_does_anything_that_stripe_might_sign(
    provider: StripeProvider, about: dict[str, Any], changes: dict[str, Any], around: dict[str, Any]
) -> None:
    body = event("payment_intent.succeeded", about | changes, **around)
    try:
        told = provider.read_event(body.encode(), sign(body))
    except UnreadableEvent:
        return
    assert told.happened is None or told.happened.amount.currency
