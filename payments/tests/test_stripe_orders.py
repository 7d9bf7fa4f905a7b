"""Stripe's events in any order, with a declined card in between, end in one credit."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from payments import models, services
from payments.providers import registry
from payments.services.events import handle_event
from payments.tests.stripe_peer import KEY, SECRET, Peer, event, serving, sign
from transactions.tests.factories import balance_of, make_payee
from transactions.tests.hold_factories import ask
from users.models import User

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def peer(settings: Settings) -> Iterator[Peer]:
    with serving() as peer:
        settings.PAYMENT_PROVIDERS, settings.DEFAULT_PAYMENT_PROVIDER = ["stripe"], "stripe"
        settings.STRIPE_API_KEY, settings.STRIPE_WEBHOOK_SECRETS = KEY, [SECRET]
        settings.STRIPE_API_BASE = peer.url
        registry.forget_providers()
        yield peer
        registry.forget_providers()


def begin(user: User) -> models.PaymentIntent:
    made = services.create_intent(user=user, amount="10.00", request=ask(user, of="10.00")).intent
    assert made is not None
    return made


def life_of(payment: dict[str, Any]) -> list[str]:
    """What Stripe sends of a payment that is declined first and succeeds with another card; the last is
    how it stands there."""
    declined = {"code": "card_declined", "decline_code": "insufficient_funds"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("created", {}),
        ("payment_failed", {"last_payment_error": declined}),
        ("processing", {"status": "processing", "last_payment_error": None}),
        ("succeeded", {"status": "succeeded", "amount_received": payment["amount"]}),
    ]
    told = []
    for kind, changes in steps:
        payment |= changes
        told.append(event(f"payment_intent.{kind}", payment))
    return told


def deliver(body: str) -> None:
    """Take it over HTTP, and act on it as a worker does."""
    answer = Client().post(
        "/api/payments/webhooks/stripe/",
        data=body,
        content_type="application/json",
        headers={"stripe-signature": sign(body)["stripe-signature"]},
    )
    assert answer.status_code == 200
    [stored] = models.ProviderEvent.objects.filter(
        provider="stripe", event_id=json.loads(body)["id"]
    )
    handle_event(stored.pk)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_every_order_is_one_credit(peer: Peer, order: tuple[int, ...]) -> None:
    user = make_payee()
    intent = begin(user)
    told = life_of(peer.objects[intent.provider_reference])
    for number in (*order, order[0]):
        deliver(told[number])
    intent.refresh_from_db()
    assert (intent.status, intent.failure_code, balance_of(user)) == ("succeeded", "", "10.00")
    kinds = models.PaymentIssue.objects.filter(subject_id=intent.pk).values_list("kind", flat=True)
    assert list(kinds) == []


def test_what_was_received_is_less_than_was_asked_for(peer: Peer) -> None:
    user = make_payee()
    intent = begin(user)
    payment = peer.objects[intent.provider_reference]
    payment |= {"status": "succeeded", "amount_received": 999}
    deliver(event("payment_intent.succeeded", payment))
    intent.refresh_from_db()
    assert (intent.status, balance_of(user)) == ("requires_confirmation", "0.00")
    [issue] = models.PaymentIssue.objects.filter(subject_id=intent.pk)
    assert (issue.kind, issue.facts["told_amount"]) == ("amount_mismatch", "9.99")


def test_an_event_that_nobody_signed_is_not_stored(peer: Peer) -> None:
    body = event("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent"})
    for headers in (sign(body, "whsec_other"), sign(body, age=400), sign(body, age=-400), {}):
        signature = headers.get("stripe-signature", "")
        answer = Client().post(
            "/api/payments/webhooks/stripe/",
            data=body,
            content_type="application/json",
            headers={"stripe-signature": signature},
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_signature")
    told = models.ProviderEvent.objects.filter(event_id=json.loads(body)["id"])
    assert not told.exists()
