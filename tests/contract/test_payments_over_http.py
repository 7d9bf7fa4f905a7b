"""Money in and out as docs/api.md promises it."""

import json
import uuid
from typing import Any

import pytest
from django.core.cache import cache

from payments import services
from payments.models import PaymentIntent
from payments.providers import registry
from payments.providers.base import PaymentState
from payments.tests.fakes import FakeProvider, fake
from tests.contract.payment_calls import (
    INTENT_MEMBERS,
    INTENTS,
    PAYOUTS,
    Simulating,
    act,
    paid,
    pay_in,
    pay_out,
    refund,
    succeed,
)
from tests.contract.test_transfer_over_http import require_problem
from transactions.models import Transaction
from transactions.tests.factories import balance_of, make_payee, make_payer
from transactions.tests.hold_factories import standing
from users.tests.factories import api_client, at_once
from wallet.services import open_wallet

__all__ = ["fake"]


@pytest.mark.smoke
def test_a_payment_from_its_making_to_the_balance(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    made = pay_in(client)
    told = made.json()
    assert (made.status_code, set(told)) == (201, INTENT_MEMBERS)
    assert told["status"] == "requires_confirmation"
    assert (told["amount"], told["currency"], told["provider"]) == ("25.00", "USD", "fake")
    assert told["client_secret"].startswith("secret_")
    assert (told["transaction"], told["failure_code"]) == (None, None)
    assert (told["refunded_amount"], told["created_at"][-1]) == ("0.00", "Z")
    confirmed = act(client, told["id"], "confirm")
    assert (confirmed.status_code, confirmed.json()["status"]) == (200, "processing")
    succeed(fake, told["id"])
    shown = client.get(f"{INTENTS}{told['id']}/").json()
    assert (shown["status"], balance_of(user)) == ("succeeded", "25.00")
    path = f"/api/transactions/transactions/{shown['transaction']}/"
    posted = client.get(path).json()
    assert (posted["kind"], posted["amount"], posted["to_user_email"]) == (
        "deposit",
        "25.00",
        user.email,
    )


@pytest.mark.parametrize("flush", [False, True])
def test_a_retry_gets_the_same_bytes_whatever_has_become_of_it(
    fake: FakeProvider, flush: bool
) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    key = uuid.uuid4().hex
    first = pay_in(client, idempotency_key=key)
    intent_id = first.json()["id"]
    succeed(fake, intent_id)
    refunded = refund(client, intent_id, amount="5.00", idempotency_key=f"r{key}")
    paid_out = pay_out(client, idempotency_key=f"p{key}")
    services.check_refund(uuid.UUID(refunded.json()["id"]))
    services.check_payout(uuid.UUID(paid_out.json()["id"]))
    if flush:
        cache.clear()
    again = (
        pay_in(client, idempotency_key=key),
        refund(client, intent_id, amount="5.00", idempotency_key=f"r{key}"),
        pay_out(client, idempotency_key=f"p{key}"),
    )
    for answer, original in zip(again, (first, refunded, paid_out), strict=True):
        assert (answer.status_code, answer.content) == (201, original.content)
        assert answer["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in original
    assert balance_of(user) == "120.00"


def test_a_key_belongs_to_one_request(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client, key = api_client(user), uuid.uuid4().hex
    intent_id = paid(fake, user)
    used = pay_in(client, idempotency_key=key).json()["id"]
    held = pay_out(client).json()["transaction"]
    ledger_key = Transaction.objects.get(pk=held).idempotency_key
    for response in (
        pay_in(client, "26.00", idempotency_key=key),
        pay_out(client, idempotency_key=key),
        refund(client, intent_id, idempotency_key=key),
        pay_in(client, idempotency_key=ledger_key),
    ):
        require_problem(response, 422, "idempotency_key_reused")
    assert pay_in(api_client(make_payee()), idempotency_key=key).json()["id"] != used


def test_declines_are_recorded_and_replayed_with_the_same_bytes(fake: FakeProvider) -> None:
    user = make_payer("5.00")
    client = api_client(user)
    intent_id = paid(fake, user, "1.00")
    before = standing(user)

    def send(what: str, key: str) -> Any:
        if what == "in":
            return pay_in(client, "5000000.00", idempotency_key=key)
        if what == "out":
            return pay_out(client, "6.01", idempotency_key=key)
        return refund(client, intent_id, amount="1.01", idempotency_key=key)

    for what, code in (
        ("in", "balance_limit_exceeded"),
        ("out", "insufficient_funds"),
        ("back", "reversal_exceeds_original"),
    ):
        key = uuid.uuid4().hex
        first, again = send(what, key), send(what, key)
        problem = require_problem(first, 422, code)
        assert first.content == again.content
        assert again["Idempotency-Replayed"] == "true"
        assert Transaction.objects.get(pk=problem["transaction"]).decline_code == code
    assert standing(user) == before


def test_a_provider_that_is_away_is_told_and_the_retry_goes_on(fake: FakeProvider) -> None:
    client, key = api_client(make_payee()), uuid.uuid4().hex
    fake.away = True
    refused = pay_in(client, idempotency_key=key)
    problem = require_problem(refused, 503, "provider_unavailable")
    assert (problem["retryable"], "Retry-After" in refused) == (True, True)
    fake.away = False
    made = pay_in(client, idempotency_key=key)
    assert (made.status_code, "Idempotency-Replayed" in made) == (201, False)
    fake.away = True
    intent_id = made.json()["id"]
    assert act(client, intent_id, "confirm").json()["status"] == "processing"
    for what in ("refresh", "cancel"):
        require_problem(act(client, intent_id, what), 503, "provider_unavailable")


def test_a_refresh_brings_what_the_webhook_has_not(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    intent_id = pay_in(client).json()["id"]
    intent = PaymentIntent.objects.get(pk=intent_id)
    fake.become(fake.payment_of(intent), PaymentState.SUCCEEDED)
    at_once(6, lambda _: act(api_client(user), intent_id, "refresh"))
    assert balance_of(user) == "25.00"


def test_the_simulator_says_what_it_is_told_to(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    simulator = Simulating()
    checked: Any = simulator
    with registry.registered(checked):
        intent_id = pay_in(client, provider="simulator").json()["id"]
        said = act(client, intent_id, "simulate", outcome="succeeded")
        assert (said.status_code, said.json()["status"]) == (202, "requires_confirmation")
        assert act(client, intent_id, "refresh").json()["status"] == "succeeded"
        require_problem(act(client, intent_id, "simulate", outcome="failed"), 409, "invalid_state")
        bad = act(client, intent_id, "simulate", outcome="paid")
        require_problem(bad, 400, "validation_error")
    others = pay_in(client).json()["id"]
    require_problem(act(client, others, "simulate", outcome="succeeded"), 404, "not_found")


def test_there_is_no_simulation_where_there_is_no_simulator(
    fake: FakeProvider, settings: Any
) -> None:
    user = make_payee()
    checked: Any = Simulating()
    with registry.registered(checked):
        intent_id = pay_in(api_client(user), provider="simulator").json()["id"]
    settings.PAYMENT_PROVIDERS = []
    answer = act(api_client(user), intent_id, "simulate", outcome="succeeded")
    require_problem(answer, 404, "not_found")


def test_the_currency_finds_the_wallet(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    require_problem(pay_in(client, "500", currency="JPY"), 422, "currency_mismatch")
    yen = open_wallet(owner=user, currency="JPY", name="Yen")
    made = pay_in(client, "500", currency="JPY").json()
    assert (made["amount"], made["currency"]) == ("500", "JPY")
    require_problem(pay_in(client, "500.5", currency="JPY"), 400, "validation_error")
    succeed(fake, made["id"])
    yen.refresh_from_db()
    assert yen.balance == 500


def test_lists_are_pages_newest_first(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    for base, make in ((INTENTS, pay_in), (PAYOUTS, pay_out)):
        made = [make(client).json()["id"] for _ in range(3)]
        page = client.get(f"{base}?page_size=2").json()
        assert [row["id"] for row in page["results"]] == made[:0:-1]
        rest = client.get(page["next"]).json()
        assert [row["id"] for row in rest["results"]] == made[:1]
        assert rest["next"] is None
        for bad, code in (("page_size=0", "validation_error"), ("cursor=x", "invalid_cursor")):
            require_problem(client.get(f"{base}?{bad}"), 400, code)


def test_the_schema_names_the_calls(fake: FakeProvider) -> None:
    answer = api_client().get("/api/schema/", headers={"Accept": "application/json"})
    paths = json.loads(answer.content)["paths"]
    for name in ("", "{intent_id}/", *(f"{{intent_id}}/{a}/" for a in ("confirm", "cancel"))):
        assert f"{INTENTS}{name}" in paths
    assert "201" in paths[f"{INTENTS}{{intent_id}}/refund/"]["post"]["responses"]
    assert set(paths[PAYOUTS]) == {"get", "post"}
