"""The Stripe adapter against localstripe, a server that nobody here wrote.

Where it differs from Stripe: it knows no idempotency keys, pays out euros only, does not tell what was
received, does not select balance transactions by time, lets nobody try again with another card, and of a
refused step says only "Bad request". What depends on these is tested against ``stripe_peer``.
"""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests
from django.test import Client
from pytest_django.fixtures import Settings

from fintech_core.fields import uuid7
from fintech_core.money import Money
from payments import models, services
from payments.providers import registry
from payments.providers.base import (
    PaymentState,
    PayoutState,
    ProviderEvent,
    ProviderPayment,
    ProviderPayout,
    ProviderRefused,
    ProviderUnavailable,
    RefundState,
)
from payments.providers.stripe import StripeProvider
from payments.services.errors import ConfirmationRefused
from payments.services.events import handle_event
from payments.tests.stripe_peer import KEY, SECRET
from transactions.tests.factories import balance_of, make_payee
from transactions.tests.hold_factories import ask

# Its own command listens on every address and keeps its objects in a file that all its processes share.
SERVE = """
import sys
from aiohttp import web
from localstripe.resources import Store
Store.dump_to_disk = lambda self: None
from localstripe.server import app
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
GOOD, DECLINED, ASKS_FIRST = "4242424242424242", "4000000000000341", "4000002500003155"
TEN = Money(Decimal("10.00"), "EUR")


def free_port() -> int:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


@pytest.fixture(scope="module")
def localstripe() -> Iterator[str]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                requests.get(f"{url}/v1/balance", auth=(KEY, ""), timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, "localstripe ended"
                assert time.monotonic() < deadline, "localstripe does not answer"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def provider(localstripe: str, settings: Settings) -> StripeProvider:
    settings.STRIPE_API_KEY = KEY
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    settings.STRIPE_API_BASE = localstripe
    return StripeProvider()


def call(base: str, path: str, /, **body: Any) -> dict[str, Any]:
    """What the payer's browser does, or a test of localstripe itself."""
    answer = requests.post(f"{base}{path}", json=body, auth=(KEY, ""), timeout=5)
    assert answer.ok, answer.text
    return dict(answer.json()) if answer.content else {}


def attach(url: str, reference: str, number: str) -> None:
    """Choose a card, as a browser does with the client secret."""
    card = {"number": number, "exp_month": "12", "exp_year": "2040", "cvc": "123"}
    method = call(url, "/v1/payment_methods", type="card", card=card)
    call(url, f"/v1/payment_intents/{reference}", payment_method=method["id"])


def test_a_payment_goes_its_way(provider: StripeProvider, localstripe: str) -> None:
    intent_id = uuid7()
    made = provider.create_payment(intent_id=intent_id, amount=TEN)
    assert (made.state, made.amount) == (PaymentState.REQUIRES_CONFIRMATION, TEN)
    assert made.client_secret
    attach(localstripe, made.reference, GOOD)
    for told in (
        provider.confirm_payment(made.reference),
        provider.confirm_payment(made.reference),
        provider.cancel_payment(made.reference),
        provider.fetch_payment(made.reference),
    ):
        assert (told.intent_id, told.state, told.amount) == (
            intent_id,
            PaymentState.SUCCEEDED,
            TEN,
        )


def test_a_payment_is_canceled(provider: StripeProvider) -> None:
    made = provider.create_payment(intent_id=uuid7(), amount=TEN)
    for _ in range(2):
        assert provider.cancel_payment(made.reference).state == PaymentState.CANCELED


def test_a_declined_card_fails_the_payment(provider: StripeProvider, localstripe: str) -> None:
    made = provider.create_payment(intent_id=uuid7(), amount=TEN)
    attach(localstripe, made.reference, DECLINED)
    told = provider.confirm_payment(made.reference)
    assert (told.state, told.failure_code) == (PaymentState.FAILED, "card_declined")
    assert provider.fetch_payment(made.reference) == told


def test_a_payers_bank_is_waited_for(provider: StripeProvider, localstripe: str) -> None:
    made = provider.create_payment(intent_id=uuid7(), amount=TEN)
    attach(localstripe, made.reference, ASKS_FIRST)
    assert provider.confirm_payment(made.reference).state == PaymentState.PROCESSING
    path = f"/v1/payment_intents/{made.reference}/_authenticate"
    call(localstripe, path, client_secret=made.client_secret, success=True)
    assert provider.fetch_payment(made.reference).state == PaymentState.SUCCEEDED


def test_a_part_is_refunded(provider: StripeProvider, localstripe: str) -> None:
    made, refund_id = provider.create_payment(intent_id=uuid7(), amount=TEN), uuid7()
    with pytest.raises(ProviderRefused):
        provider.refund(refund_id=refund_id, payment=made.reference, amount=TEN)
    attach(localstripe, made.reference, GOOD)
    provider.confirm_payment(made.reference)
    part = Money(Decimal("4.00"), "EUR")
    told = provider.refund(refund_id=refund_id, payment=made.reference, amount=part)
    assert (told.refund_id, told.payment) == (refund_id, made.reference)
    assert (told.state, told.amount) == (RefundState.SUCCEEDED, part)
    assert provider.fetch_refund(told.reference) == told


def test_a_payout_is_made(provider: StripeProvider) -> None:
    payout_id = uuid7()
    told = provider.pay_out(payout_id=payout_id, amount=TEN, destination="ba_1")
    assert (told.payout_id, told.state, told.amount) == (payout_id, PayoutState.PENDING, TEN)
    assert provider.fetch_payout(told.reference) == told
    dollars = Money(Decimal("10.00"), "USD")
    with pytest.raises(ProviderRefused):
        provider.pay_out(payout_id=uuid7(), amount=dollars, destination="ba_1")


def test_what_is_not_there_and_a_key_that_is_not_known(
    provider: StripeProvider, settings: Settings
) -> None:
    with pytest.raises(ProviderUnavailable):
        provider.fetch_payment("pi_nowhere")
    settings.STRIPE_API_KEY = "rk_test_unknown"
    with pytest.raises(ProviderUnavailable):
        StripeProvider().fetch_payment("pi_nowhere")


class Receiver(HTTPServer):
    """Takes webhooks as they come."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.taken: queue.Queue[tuple[bytes, dict[str, str]]] = queue.Queue()

    def take(self, reference: str) -> tuple[bytes, dict[str, str]]:
        """The next webhook about this object; what earlier tests left is passed over."""
        while True:
            body, headers = self.taken.get(timeout=20)
            if json.loads(body)["data"]["object"]["id"] == reference:
                return body, headers


class _Taker(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.put((body, {k.lower(): v for k, v in self.headers.items()}))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing is written."""


@pytest.fixture
def receiver(localstripe: str) -> Iterator[Receiver]:
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, args=[0.05], daemon=True).start()
        url = f"http://127.0.0.1:{receiver.server_address[1]}"
        call(localstripe, "/_config/webhooks/test", url=url, secret=SECRET)
        yield receiver
        receiver.shutdown()


def test_the_events_it_signs_are_read(
    provider: StripeProvider, localstripe: str, receiver: Receiver
) -> None:
    good, declined = (provider.create_payment(intent_id=uuid7(), amount=TEN) for _ in range(2))
    attach(localstripe, good.reference, GOOD)
    attach(localstripe, declined.reference, DECLINED)
    provider.confirm_payment(good.reference)
    provider.confirm_payment(declined.reference)
    payout = provider.pay_out(payout_id=uuid7(), amount=TEN, destination="ba_1")
    call(localstripe, f"/v1/payouts/{payout.reference}/cancel")
    found: dict[tuple[str, str], ProviderEvent] = {}
    wanted = {
        (good.reference, "payment_intent.succeeded"): PaymentState.SUCCEEDED,
        (declined.reference, "payment_intent.payment_failed"): PaymentState.FAILED,
        (payout.reference, "payout.created"): PayoutState.PENDING,
        (payout.reference, "payout.canceled"): PayoutState.CANCELED,
    }
    while wanted.keys() - found.keys():
        body, headers = receiver.taken.get(timeout=20)
        event = provider.read_event(body, headers)
        if event.happened is not None:
            found[event.happened.reference, event.type] = event
    for key, state in wanted.items():
        told = found[key].happened
        assert isinstance(told, ProviderPayment | ProviderPayout)
        assert told.state == state
    assert len({event.event_id for event in found.values()}) == len(found)


@pytest.fixture
def switched_on(committed: None, provider: StripeProvider, settings: Settings) -> Iterator[None]:
    settings.PAYMENT_PROVIDERS, settings.DEFAULT_PAYMENT_PROVIDER = ["stripe"], "stripe"
    registry.forget_providers()
    yield
    registry.forget_providers()


@pytest.mark.usefixtures("switched_on")
def test_a_top_up_through_it_is_credited_once(localstripe: str, receiver: Receiver) -> None:
    """From the intent by the payer's browser and the signed webhook to the wallet."""
    user = make_payee()
    made = services.create_intent(user=user, amount="10.00", request=ask(user, of="10.00")).intent
    assert made is not None
    with pytest.raises(ConfirmationRefused):
        services.confirm_intent(user=user, intent_id=made.pk)
    attach(localstripe, made.provider_reference, GOOD)
    call(localstripe, f"/v1/payment_intents/{made.provider_reference}/confirm")
    body, headers = receiver.take(made.provider_reference)
    for _ in range(2):
        answer = Client().post(
            "/api/payments/webhooks/stripe/",
            data=body,
            content_type="application/json",
            headers={"stripe-signature": headers["stripe-signature"]},
        )
        assert answer.status_code == 200
    stored = models.ProviderEvent.objects.filter(provider="stripe")
    event = stored.get(event_id=json.loads(body)["id"])
    for _ in range(2):
        handle_event(event.pk)
        made.refresh_from_db()
        assert (made.status, balance_of(user)) == ("succeeded", "10.00")
