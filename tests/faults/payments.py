"""Payments at the fake provider, events about them, and what has come of both."""

import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.test import Client

from payments.models import PaymentIntent, ProviderEvent
from payments.providers.base import PaymentState, ProviderPayment
from payments.services import confirm_intent, create_intent
from tests.faults.fake_provider import Delivery, FakeProvider
from transactions.instructions import Request
from transactions.models import Transaction
from users.models import User
from users.tests.factories import make_user

ADDRESS = "/api/payments/webhooks/fake/"


def make_payment(user: User | None = None, amount: str = "10.00") -> PaymentIntent:
    """An intent that was confirmed, and of which its provider has not said the last word."""
    user = user or make_user(tier=2)
    key = uuid.uuid4().hex
    request = Request(caller_id=user.pk, idempotency_key=key, fingerprint=uuid.uuid4().bytes * 2)
    made = create_intent(user=user, amount=amount, request=request, provider="fake").intent
    assert made is not None
    return confirm_intent(user=user, intent_id=made.pk)


def told_of(intent: PaymentIntent, state: PaymentState, **changes: Any) -> ProviderPayment:
    """What the provider tells of an intent that has come to this state."""
    told = ProviderPayment(intent.provider_reference, intent.pk, state, intent.money)
    return replace(told, **changes)


def succeed(provider: FakeProvider, intent: PaymentIntent) -> ProviderPayment:
    """Have it be paid, at the provider."""
    told = told_of(intent, PaymentState.SUCCEEDED)
    provider.tell(told)
    return told


def deliver(delivery: Delivery, client: Client | None = None) -> int:
    """The status that a delivery is answered with."""
    sender = client or Client(HTTP_HOST="localhost")
    answer = sender.post(
        ADDRESS, delivery.body, content_type="application/json", headers=delivery.headers
    )
    return answer.status_code


def stored(delivery: Delivery) -> ProviderEvent:
    return ProviderEvent.objects.get(provider="fake", event_id=delivery.event_id)


def credits_of(intents: Iterable[PaymentIntent]) -> list[Transaction]:
    """Every deposit that went to the owners of these."""
    wallets = [intent.wallet_id for intent in intents]
    return list(Transaction.objects.filter(kind="deposit", to_wallet_id__in=wallets))
