"""What no payment is: refused by its shape, its state, whose it is, in the order of docs/api.md."""

import itertools
import uuid
from typing import Any

import pytest

from payments.providers import registry
from payments.tests.fakes import FakeProvider, fake
from tests.contract.payment_calls import (
    INTENTS,
    PAYOUTS,
    Simulating,
    act,
    paid,
    pay_in,
    pay_out,
    refund,
)
from tests.contract.test_transfer_over_http import require_problem
from transactions.tests.factories import make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import standing
from users.tests.factories import api_client, make_staff
from wallet.services import freeze_wallet

__all__ = ["fake"]


def test_a_state_that_does_not_allow_it_is_told(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    intent_id = paid(fake, user)
    for what in ("confirm", "cancel"):
        problem = require_problem(act(client, intent_id, what), 409, "invalid_state")
        assert problem["payment_status"] == "succeeded"
    waiting = pay_in(client).json()["id"]
    require_problem(refund(client, waiting), 409, "invalid_state")
    assert act(client, waiting, "cancel").json()["status"] == "canceled"
    require_problem(act(client, waiting, "confirm"), 409, "invalid_state")
    assert act(client, intent_id, "refresh").json()["status"] == "succeeded"


def test_nobody_touches_what_is_anothers(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    intent_id = paid(fake, user)
    payout_id = pay_out(api_client(user)).json()["id"]
    before = standing(user)
    for stranger in (make_payee(), make_staff()):
        client = api_client(stranger)
        require_problem(client.get(f"{INTENTS}{intent_id}/"), 404, "not_found")
        require_problem(client.get(f"{PAYOUTS}{payout_id}/"), 404, "not_found")
        for what in ("confirm", "cancel", "refresh"):
            require_problem(act(client, intent_id, what), 404, "not_found")
        simulated = act(client, intent_id, "simulate", outcome="failed")
        require_problem(simulated, 404, "not_found")
        require_problem(refund(client, intent_id), 404, "not_found")
        require_problem(client.post(f"{PAYOUTS}{payout_id}/cancel/", {}), 404, "not_found")
        assert client.get(INTENTS).json()["results"] == client.get(PAYOUTS).json()["results"] == []
    anonymous = api_client()
    for path in (INTENTS, PAYOUTS, f"{INTENTS}{intent_id}/", f"{PAYOUTS}{payout_id}/"):
        require_problem(anonymous.get(path), 401, "not_authenticated")
    require_problem(anonymous.post(f"{INTENTS}{intent_id}/refund/", {}), 401, "not_authenticated")
    assert standing(user) == before


def test_the_order_of_refusals(fake: FakeProvider) -> None:
    """Shape, key, wallet state, currency, identity, limits, funds; each hides those after it."""
    poor, nobody = make_payer("5.00", tier=1), make_payee(tier=0)
    client = api_client(poor)
    require_problem(pay_out(client, "1e2", currency="XXX"), 400, "validation_error")
    keyless = client.post(PAYOUTS, {"amount": "6.00", "destination": "acct"})
    require_problem(keyless, 400, "idempotency_key_required")
    require_problem(pay_out(client, provider="nobody"), 400, "unknown_provider")
    require_problem(pay_out(client, "1.001"), 400, "validation_error")
    require_problem(pay_out(client, currency="EUR"), 422, "currency_mismatch")
    require_problem(pay_out(api_client(nobody), "2000.00"), 403, "kyc_required")
    require_problem(pay_out(client, "1000.01"), 422, "limit_exceeded")
    require_problem(pay_out(client, "5.01"), 422, "insufficient_funds")
    freeze_wallet(wallet_id=wallet_of(poor).pk, acting_user=nobody, reason="test")
    require_problem(pay_out(client, "1000.01"), 422, "wallet_frozen")


AMOUNTS: tuple[object, ...] = (
    *("0", "0.00", "-0.00", "-1.00", "+1", "1e2", "1e-2", "1e400", "NaN", "-NaN", "Infinity"),
    *("1_000", " 1", "1 ", "\u00a010", "\u202e01", "1.001", ".5", "010", "1,000.00", "１００", "½"),
    *("$10", "", "10\u0000", "9999999999999", "999999999999999999999.00", "0x1"),
    *(None, True, 1, 10.5, ["10.00"], {}),
)


@pytest.mark.parametrize("what", ["intent", "payout", "refund"])
def test_an_amount_is_an_exact_text_above_zero(fake: FakeProvider, what: str) -> None:
    user = make_payer("10.00")
    client = api_client(user)
    path = {
        "intent": INTENTS,
        "payout": PAYOUTS,
        "refund": f"{INTENTS}{paid(fake, user)}/refund/",
    }[what]
    before = standing(user)
    for amount in AMOUNTS:
        body: dict[str, Any] = {"amount": amount, "idempotency_key": uuid.uuid4().hex}
        if what == "payout":
            body["destination"] = "acct"
        problem = require_problem(client.post(path, body), 400, "validation_error")
        assert list(problem["errors"]) == ["amount"], amount
    assert standing(user) == before


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"currency": "usd"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": None}, "currency"),
        ({"provider": ""}, "provider"),
        ({"provider": "x" * 41}, "provider"),
        ({"provider": 1}, "provider"),
        ({"status": "succeeded"}, "status"),
        ({"user": 1}, "user"),
        ({"idempotency_key": "x" * 256}, "idempotency_key"),
        ({"idempotency_key": "a b"}, "idempotency_key"),
        ({"idempotency_key": 5}, "idempotency_key"),
    ],
)
def test_what_is_no_payment_names_the_field(
    fake: FakeProvider, members: dict[str, Any], field: str
) -> None:
    client = api_client(make_payer("100.00"))
    for response in (pay_in(client, **members), pay_out(client, **members)):
        assert response.status_code == 400
        assert list(response.json()["errors"]) == [field]
    assert fake.calls == []


def test_a_destination_is_a_word(fake: FakeProvider) -> None:
    client = api_client(make_payer("100.00"))
    for destination in ("", "   ", "x" * 256, None, 5, "a\u0000b", "a\u202eb"):
        response = pay_out(client, destination=destination)
        problem = require_problem(response, 400, "validation_error")
        assert list(problem["errors"]) == ["destination"]


def test_an_id_that_names_nothing_is_a_404(fake: FakeProvider) -> None:
    client = api_client(make_payee())
    ids = ("x", "1", "%00", "1' or 1=1", str(uuid.uuid4()), uuid.uuid4().hex)
    for base, path in itertools.product((INTENTS, PAYOUTS), ids):
        require_problem(client.get(f"{base}{path}/"), 404, "not_found")
        require_problem(client.post(f"{base}{path}/cancel/", {}), 404, "not_found")


@pytest.mark.parametrize("what", ["confirm", "cancel", "refresh"])
def test_an_act_takes_no_members(fake: FakeProvider, what: str) -> None:
    client = api_client(make_payee())
    intent_id = pay_in(client).json()["id"]
    problem = require_problem(act(client, intent_id, what, amount="1"), 400, "validation_error")
    assert list(problem["errors"]) == ["amount"]
    assert client.post(f"{INTENTS}{intent_id}/{what}/").status_code == 200


@pytest.mark.parametrize("what", ["confirm", "cancel", "refresh", "simulate"])
def test_who_has_a_provider_asked_without_end_is_stopped(
    fake: FakeProvider, settings: Any, what: str
) -> None:
    settings.PAYMENTS_PER_HOUR = 2
    settings.PAYMENT_PROVIDERS = [*settings.PAYMENT_PROVIDERS, "simulator"]
    client, key = api_client(make_payee()), uuid.uuid4().hex
    members = {"outcome": "succeeded"} if what == "simulate" else {}
    checked: Any = Simulating()
    with registry.registered(checked):
        intent_id = pay_in(client, provider="simulator").json()["id"]
        assert act(client, intent_id, what, **members).status_code < 300
        for response in (
            act(client, intent_id, what, **members),
            pay_in(client, idempotency_key=key),
        ):
            require_problem(response, 429, "throttled")
            assert int(response["Retry-After"]) > 0
        settings.PAYMENTS_PER_HOUR = 100
        assert pay_in(client, idempotency_key=key).status_code == 201
