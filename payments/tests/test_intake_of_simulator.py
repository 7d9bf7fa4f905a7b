"""A top-up at the simulated provider, as its own signed events tell of it."""

from typing import Any

import pytest
from django.test import Client

from payments.event_tasks import handle_event_task
from payments.models import EventStatus, PaymentIntent, ProviderEvent
from payments.services import confirm_intent, create_intent
from payments.tests.simulators import Simulator, eventually
from transactions.instructions import Request
from transactions.tests.factories import balance_of
from users.tests.factories import make_user

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def intent(simulator: Simulator) -> PaymentIntent:
    """A payment of 20.00 that its provider has taken, and told of to nobody."""
    simulator.behave(webhook_url="")
    user = make_user(tier=2)
    request = Request(caller_id=user.pk, idempotency_key="top-up", fingerprint=user.pk.bytes * 2)
    made = create_intent(user=user, amount="20.00", request=request, provider="simulator").intent
    assert made is not None
    made = confirm_intent(user=user, intent_id=made.pk)
    simulator.simulate(made.provider_reference)
    return made


def told_of(simulator: Simulator, intent: PaymentIntent) -> list[dict[str, Any]]:
    return eventually(lambda: simulator.events(intent.provider_reference))


def handle(event: dict[str, Any]) -> EventStatus:
    row = ProviderEvent.objects.get(provider="simulator", event_id=event["id"])
    handle_event_task(str(row.pk))
    row.refresh_from_db()
    return EventStatus(row.status)


def test_its_events_in_any_number_credit_the_wallet_once(
    simulator: Simulator, intent: PaymentIntent
) -> None:
    for event in [*told_of(simulator, intent), *reversed(told_of(simulator, intent))]:
        assert simulator.post(event, Client(HTTP_HOST="localhost")) == 200
        assert handle(event) == EventStatus.HANDLED
    assert balance_of(intent.user) == "20.00"
    intent.refresh_from_db()
    assert intent.status == "succeeded"


@pytest.mark.parametrize("unknown", ["refund.new", "payment.disputed", "account.updated"])
def test_an_event_of_an_unknown_type_is_stored_and_nothing_is_done(
    simulator: Simulator, intent: PaymentIntent, unknown: str
) -> None:
    last = told_of(simulator, intent)[-1]
    event = {**last, "id": f"{last['id']}_{unknown}", "type": unknown, "data": {"new": 1}}
    assert simulator.post(event, Client(HTTP_HOST="localhost")) == 200
    stored = ProviderEvent.objects.get(provider="simulator", event_id=event["id"])
    assert (stored.type, stored.status, stored.happened) == (unknown, "ignored", None)
    assert balance_of(intent.user) == "0.00"


def test_an_event_that_it_did_not_sign_is_not_stored(
    simulator: Simulator, intent: PaymentIntent, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = told_of(simulator, intent)[-1]
    monkeypatch.setattr(simulator, "secret", "whsec_" + "A" * 43 + "=")
    assert simulator.post(event, Client(HTTP_HOST="localhost")) == 400
    assert not ProviderEvent.objects.filter(event_id=event["id"]).exists()
    assert balance_of(intent.user) == "0.00"


def test_a_changed_event_is_not_stored(simulator: Simulator, intent: PaymentIntent) -> None:
    """The signature is over the bytes; what a proxy writes anew is another body."""
    event = told_of(simulator, intent)[-1]
    headers: dict[str, str] = {}

    class Changing(Client):
        def post(self, path: str, data: Any = None, **options: Any) -> Any:  # type: ignore[override]
            headers.update(options["headers"])
            return super().post(path, data + b"\n", **options)

    assert simulator.post(event, Changing(HTTP_HOST="localhost")) == 400
    assert headers["webhook-id"] == event["id"]
    assert not ProviderEvent.objects.filter(event_id=event["id"]).exists()
