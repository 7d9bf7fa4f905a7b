"""Calls of the payments API, and what they answer."""

import uuid
from typing import Any

from payments.models import PaymentIntent
from payments.providers.base import PaymentState
from payments.tests.fakes import FakeProvider, tell
from users.models import User
from users.tests.factories import JSONClient, api_client

INTENTS = "/api/payments/intents/"
PAYOUTS = "/api/payments/payouts/"

INTENT_MEMBERS = {
    *("id", "status", "amount", "currency", "provider", "client_secret", "checkout_url"),
    *("failure_code", "refunded_amount", "transaction", "created_at"),
}

REFUND_MEMBERS = {
    *("id", "intent", "amount", "currency", "status", "failure_code", "transaction", "created_at"),
}

PAYOUT_MEMBERS = {
    *("id", "status", "amount", "currency", "destination", "provider", "failure_code"),
    *("transaction", "created_at"),
}


class Simulating(FakeProvider):
    """A provider by the simulator's name that does what it is told."""

    name = "simulator"

    def simulate(self, reference: str, outcome: str) -> None:
        self.become(self._payment(reference), PaymentState(outcome))


def pay_in(client: JSONClient, amount: str = "25.00", **members: Any) -> Any:
    return client.post(INTENTS, {"amount": amount, "idempotency_key": uuid.uuid4().hex, **members})


def pay_out(client: JSONClient, amount: str = "10.00", **members: Any) -> Any:
    body = {"amount": amount, "destination": "acct_test", "idempotency_key": uuid.uuid4().hex}
    return client.post(PAYOUTS, body | members)


def act(client: JSONClient, intent_id: str, what: str, **members: Any) -> Any:
    return client.post(f"{INTENTS}{intent_id}/{what}/", members)


def refund(client: JSONClient, intent_id: str, **members: Any) -> Any:
    members.setdefault("idempotency_key", uuid.uuid4().hex)
    return act(client, intent_id, "refund", **members)


def succeed(fake: FakeProvider, intent_id: str) -> None:
    tell(fake, PaymentIntent.objects.get(pk=intent_id), PaymentState.SUCCEEDED, fetched=True)


def paid(fake: FakeProvider, user: User, amount: str = "25.00") -> str:
    intent_id: str = pay_in(api_client(user), amount).json()["id"]
    succeed(fake, intent_id)
    return intent_id
