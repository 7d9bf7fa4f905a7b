"""Money in and out with a provider that is another process, told of by its signed webhooks."""

import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from payments import services
from payments.models import PaymentIntent, Payout, ProviderEvent, Refund
from payments.selectors import list_payment_violations
from payments.services.events import handle_event
from payments.tasks import check_payout_task
from payments.tests.simulators import Simulator, eventually
from tests.contract.payment_calls import INTENTS, PAYOUTS, act, pay_in, pay_out, refund
from tests.contract.test_transfer_over_http import require_problem
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import JSONClient, api_client

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def all_holds(committed: None) -> Iterator[None]:
    yield
    assert list_payment_violations() == []


def hear(simulator: Simulator, reference: str, last: str) -> None:
    """Get all that happened to an object in any order, each twice, once ``last`` has happened; and have
    workers act on it."""
    eventually(lambda: last in {event["type"] for event in simulator.events(reference)})
    events = simulator.events(reference)
    told = [*events, *events]
    random.shuffle(told)
    for event in told:
        assert simulator.post(event, Client(HTTP_HOST="localhost")) == 200
    for row in ProviderEvent.objects.filter(event_id__in=[event["id"] for event in events]):
        handle_event(row.pk)
        handle_event(row.pk)


def paid(simulator: Simulator, user: User, amount: str = "25.00") -> PaymentIntent:
    client = api_client(user)
    intent_id = pay_in(client, amount).json()["id"]
    assert act(client, intent_id, "simulate", outcome="succeeded").status_code == 202
    intent = PaymentIntent.objects.get(pk=intent_id)
    hear(simulator, intent.provider_reference, "payment.succeeded")
    return PaymentIntent.objects.get(pk=intent_id)


@pytest.mark.smoke
def test_a_payment_is_credited_when_the_webhook_says_so(simulator: Simulator) -> None:
    user = make_payee()
    intent = paid(simulator, user)
    shown = api_client(user).get(f"{INTENTS}{intent.pk}/").json()
    assert (shown["status"], shown["provider"], balance_of(user)) == (
        "succeeded",
        "simulator",
        "25.00",
    )
    assert shown["checkout_url"].startswith(simulator.url)


def test_a_payment_that_failed_brings_nothing(simulator: Simulator) -> None:
    user = make_payee()
    client = api_client(user)
    intent_id = pay_in(client).json()["id"]
    assert act(client, intent_id, "confirm").json()["status"] == "processing"
    act(client, intent_id, "simulate", outcome="failed")
    reference = PaymentIntent.objects.get(pk=intent_id).provider_reference
    hear(simulator, reference, "payment.failed")
    shown = client.get(f"{INTENTS}{intent_id}/").json()
    assert (shown["status"], balance_of(user)) == ("failed", "0.00")
    assert shown["failure_code"]


def test_a_canceled_payment_is_canceled_there_too(simulator: Simulator) -> None:
    client = api_client(make_payee())
    intent_id = pay_in(client).json()["id"]
    assert act(client, intent_id, "cancel").json()["status"] == "canceled"
    reference = PaymentIntent.objects.get(pk=intent_id).provider_reference
    assert simulator.fetch(reference)["status"] == "canceled"
    answer = act(client, intent_id, "simulate", outcome="succeeded")
    require_problem(answer, 409, "invalid_state")


@pytest.mark.parametrize(("outcome", "balance"), [("succeeded", "15.00"), ("failed", "25.00")])
def test_a_refund_arrives_or_comes_back(simulator: Simulator, outcome: str, balance: str) -> None:
    user = make_payee()
    intent = paid(simulator, user)
    refund_id = refund(api_client(user), str(intent.pk), amount="10.00").json()["id"]
    assert balance_of(user) == "15.00"
    services.check_refund(uuid.UUID(refund_id))
    reference = Refund.objects.get(pk=refund_id).provider_reference
    simulator.call("POST", f"/v1/refunds/{reference}/simulate", {"outcome": outcome})
    hear(simulator, reference, f"refund.{outcome}")
    assert (Refund.objects.get(pk=refund_id).status, balance_of(user)) == (outcome, balance)


@pytest.mark.parametrize(("outcome", "balance"), [("paid", "60.00"), ("failed", "100.00")])
def test_a_payout_arrives_or_comes_back(simulator: Simulator, outcome: str, balance: str) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    payout_id = pay_out(client, "40.00").json()["id"]
    services.check_payout(uuid.UUID(payout_id))
    reference = Payout.objects.get(pk=payout_id).provider_reference
    simulator.call("POST", f"/v1/payouts/{reference}/simulate", {"outcome": outcome})
    hear(simulator, reference, f"payout.{outcome}")
    assert client.get(f"{PAYOUTS}{payout_id}/").json()["status"] == outcome
    assert (balance_of(user), wallet_of(user).held) == (balance, 0)


def test_a_provider_that_is_down_keeps_nobody_from_ending_well(simulator: Simulator) -> None:
    user = make_payer("100.00")
    client, key = api_client(user), uuid.uuid4().hex
    payout_id = pay_out(client).json()["id"]
    open_one = pay_in(client).json()["id"]
    simulator.kill()
    require_problem(pay_in(client, idempotency_key=key), 503, "provider_unavailable")
    assert act(client, open_one, "confirm").json()["status"] == "processing"
    require_problem(act(client, open_one, "refresh"), 503, "provider_unavailable")
    _try(payout_id)
    simulator.start()
    made = pay_in(client, idempotency_key=key)
    assert (made.status_code, made.json()["status"]) == (201, "requires_confirmation")
    _try(payout_id)
    assert Payout.objects.get(pk=payout_id).provider_reference
    services.check_intent(uuid.UUID(open_one))
    assert _status_there(simulator, open_one) == "processing"
    act(client, open_one, "simulate", outcome="succeeded")
    assert act(client, open_one, "refresh").json()["status"] == "succeeded"


def _try(payout_id: str) -> None:
    check_payout_task(payout_id)


def _status_there(simulator: Simulator, intent_id: str) -> Any:
    reference = PaymentIntent.objects.get(pk=intent_id).provider_reference
    return simulator.fetch(reference)["status"]


def test_what_the_provider_declines_is_not_credited(simulator: Simulator) -> None:
    user = make_payee()
    client: JSONClient = api_client(user)
    simulator.behave("decline")
    intent_id = pay_in(client).json()["id"]
    act(client, intent_id, "confirm")
    act(client, intent_id, "simulate", outcome="succeeded")
    reference = PaymentIntent.objects.get(pk=intent_id).provider_reference
    hear(simulator, reference, "payment.failed")
    shown = client.get(f"{INTENTS}{intent_id}/").json()
    assert (shown["status"], balance_of(user)) == ("failed", "0.00")
