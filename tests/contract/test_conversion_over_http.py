"""Quotes and conversions as docs/api.md promises them: what they tell, keep and refuse."""

import datetime
import uuid
from typing import Any

import pytest
from django.test import override_settings
from django.urls import reverse

from tests.contract.test_admin import operator, signed_in
from tests.contract.test_transfer_over_http import MEMBERS, require_problem
from transactions.models import ExchangeRate, Transaction
from transactions.tests.exchange_factories import open_pot, set_rate, text_of
from transactions.tests.factories import make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import api_client, make_staff
from wallet.models import Wallet
from wallet.services import freeze_wallet

pytestmark = pytest.mark.usefixtures("committed")

BASE = "/api/transactions/transactions/"
CONVERT, QUOTE = f"{BASE}convert/", f"{BASE}quote/"


@pytest.fixture(autouse=True)
def no_spread() -> Any:
    with override_settings(FX_SPREAD_PERCENT="0"):
        yield


def pair(balance: str = "100.00") -> tuple[User, Wallet, Wallet]:
    set_rate("EUR", "USD", "1.25")
    owner = make_payer(balance)
    return owner, wallet_of(owner), open_pot(owner, "EUR")


def body_for(source: Wallet, target: Wallet, amount: str, **members: Any) -> dict[str, Any]:
    return {"from_wallet": str(source.pk), "to_wallet": str(target.pk), "amount": amount, **members}


def with_key(source: Wallet, target: Wallet, amount: str, **members: Any) -> dict[str, Any]:
    return body_for(source, target, amount, idempotency_key=uuid.uuid4().hex, **members)


@pytest.mark.smoke
def test_a_quote_is_told_and_kept() -> None:
    owner, dollars, euros = pair()
    client = api_client(owner)
    response = client.post(QUOTE, body_for(dollars, euros, "10.00"))
    assert response.status_code == 201
    quote = response.json()
    assert quote | {"id": "", "expires_at": ""} == {
        "id": "",
        "from_wallet": str(dollars.pk),
        "to_wallet": str(euros.pk),
        "amount": "10.00",
        "currency": "USD",
        "to_amount": "8.00",
        "to_currency": "EUR",
        "rate": "0.8",
        "fee": "0.00",
        "expires_at": "",
    }
    assert quote["expires_at"].endswith("Z")
    set_rate("EUR", "USD", "5")
    response = client.post(CONVERT, with_key(dollars, euros, "10.00", quote=quote["id"]))
    assert response.status_code == 201
    told = response.json()
    assert set(told) == MEMBERS | {"to_amount", "to_currency", "rate"}
    assert (told["kind"], told["status"], told["balance_after"]) == (
        "conversion",
        "posted",
        "90.00",
    )
    assert (told["to_amount"], told["to_currency"], told["rate"]) == ("8.00", "EUR", "0.8")
    assert (text_of(dollars), text_of(euros)) == ("90.00", "8.00")


def test_a_conversion_without_a_quote_is_made_at_the_current_rate_and_replayed() -> None:
    owner, dollars, euros = pair()
    client, body = api_client(owner), with_key(dollars, euros, "10.00")
    first = client.post(CONVERT, body)
    set_rate("EUR", "USD", "5")
    again = client.post(CONVERT, body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert text_of(euros) == "8.00"


def test_a_conversion_is_found_again_with_both_of_its_entries() -> None:
    owner, _, euros = pair()
    yen, client = open_pot(owner, "JPY"), api_client(owner)
    set_rate("EUR", "JPY", "160")
    client.post(CONVERT, with_key(wallet_of(owner), euros, "50.00"))
    told = client.post(CONVERT, with_key(euros, yen, "10.00")).json()
    detail = client.get(f"{BASE}{told['id']}/").json()
    assert {name: detail[name] for name in told} == told
    assert [entry["amount"] for entry in detail["entries"]] == ["-10.00", "1600"]
    listed = client.get(BASE).json()["results"]
    assert listed[0] == told
    seen_from_yen = told | {"balance_after": "1600"}
    assert client.get(f"{BASE}?kind=conversion&wallet={yen.pk}").json()["results"] == [
        seen_from_yen
    ]
    entries = client.get(f"/api/wallet/wallets/{yen.pk}/entries/").json()["results"]
    assert [(e["kind"], e["amount"], e["balance_after"]) for e in entries] == [
        ("conversion", "1600", "1600")
    ]


@pytest.mark.parametrize("call", [QUOTE, CONVERT])
@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("amount", {"amount": "0.00"}),
        ("amount", {"amount": "1.001"}),
        ("amount", {"amount": 1}),
        ("amount", {"amount": "-1.00"}),
        ("amount", {"amount": None}),
        ("from_wallet", {"from_wallet": "mine"}),
        ("to_wallet", {"to_wallet": None}),
        ("rate", {"rate": "2"}),
    ],
)
def test_a_bad_body_is_a_400_on_its_field(call: str, field: str, changes: dict[str, Any]) -> None:
    owner, dollars, euros = pair()
    body = body_for(dollars, euros, "1.00") | changes
    if call == CONVERT:
        body["idempotency_key"] = uuid.uuid4().hex
    problem = require_problem(api_client(owner).post(call, body), 400, "validation_error")
    assert list(problem["errors"]) == [field]
    assert text_of(dollars) == "100.00"


@pytest.mark.parametrize("call", [QUOTE, CONVERT])
def test_an_amount_that_buys_nothing_is_too_small(call: str) -> None:
    set_rate("EUR", "USD", "1000")
    owner = make_payer("1.00")
    body = body_for(wallet_of(owner), open_pot(owner, "EUR"), "1.00")
    client = api_client(owner)
    response = client.post(call, body, headers={"Idempotency-Key": "k"} if call == CONVERT else {})
    problem = require_problem(response, 400, "validation_error")
    assert problem["codes"] == {"amount": ["too_small"]}
    assert not Transaction.objects.filter(initiated_by=owner).exists()


def test_a_conversion_needs_a_key() -> None:
    owner, dollars, euros = pair()
    response = api_client(owner).post(CONVERT, body_for(dollars, euros, "1.00"))
    require_problem(response, 400, "idempotency_key_required")


@pytest.mark.parametrize("call", [QUOTE, CONVERT])
def test_anothers_wallet_is_a_404_on_either_side(call: str) -> None:
    owner, dollars, euros = pair()
    stranger = open_pot(make_payee(), "EUR")
    for source, target in ((dollars, stranger), (stranger, euros)):
        body = with_key(source, target, "1.00")
        if call == QUOTE:
            del body["idempotency_key"]
        require_problem(api_client(owner).post(call, body), 404, "wallet_not_found")


@pytest.mark.parametrize("call", [QUOTE, CONVERT])
def test_nobody_converts_without_a_token(call: str) -> None:
    require_problem(api_client().post(call, {}), 401, "not_authenticated")


def test_anothers_quote_is_a_404_and_one_for_something_else_a_400() -> None:
    owner, dollars, euros = pair()
    stranger, theirs, others = pair()
    quote = api_client(owner).post(QUOTE, body_for(dollars, euros, "10.00")).json()["id"]
    response = api_client(stranger).post(CONVERT, with_key(theirs, others, "10.00", quote=quote))
    require_problem(response, 404, "quote_not_found")
    response = api_client(owner).post(CONVERT, with_key(dollars, euros, "9.00", quote=quote))
    assert list(require_problem(response, 400, "validation_error")["errors"]) == ["quote"]


def test_a_used_quote_is_a_409() -> None:
    owner, dollars, euros = pair()
    client = api_client(owner)
    quote = client.post(QUOTE, body_for(dollars, euros, "10.00")).json()["id"]
    client.post(CONVERT, with_key(dollars, euros, "10.00", quote=quote))
    response = client.post(CONVERT, with_key(dollars, euros, "10.00", quote=quote))
    require_problem(response, 409, "quote_used")
    assert text_of(dollars) == "90.00"


def test_an_expired_quote_is_a_recorded_decline() -> None:
    owner, dollars, euros = pair()
    client = api_client(owner)
    with override_settings(QUOTE_LIFETIME=datetime.timedelta(0)):
        quote = client.post(QUOTE, body_for(dollars, euros, "10.00")).json()["id"]
    body = with_key(dollars, euros, "10.00", quote=quote)
    first, again = client.post(CONVERT, body), client.post(CONVERT, body)
    problem = require_problem(first, 422, "quote_expired")
    assert first.content == again.content
    told = client.get(f"{BASE}{problem['transaction']}/").json()
    assert (told["status"], told["decline_code"]) == ("declined", "quote_expired")
    assert text_of(dollars) == "100.00"


@override_settings(RATE_PROVIDER="transactions.tests.exchange_factories.NoRates")
def test_without_a_rate_it_is_a_503_that_uses_up_no_key() -> None:
    owner, dollars, euros = pair()
    client, body = api_client(owner), with_key(dollars, euros, "10.00")
    response = client.post(CONVERT, body)
    assert require_problem(response, 503, "rate_unavailable")["retryable"] is True
    assert response["Retry-After"] == "60"
    quoting = client.post(QUOTE, body_for(dollars, euros, "10.00"))
    require_problem(quoting, 503, "rate_unavailable")
    with override_settings(RATE_PROVIDER="transactions.rates.TableRates"):
        assert client.post(CONVERT, body).status_code == 201


def test_refusals_come_in_the_order_of_the_contract() -> None:
    """Each is put right in turn, and the next one is told."""
    owner, dollars, euros = pair("1.00")
    client, pot = api_client(owner), open_pot(owner)
    quote = {}
    with override_settings(QUOTE_LIFETIME=datetime.timedelta(0)):
        quote["quote"] = client.post(QUOTE, body_for(dollars, euros, "5.00")).json()["id"]
    freeze_wallet(wallet_id=pot.pk, acting_user=owner, reason="test")
    for target, more, code in (
        (pot, {}, "wallet_frozen"),
        (dollars, {}, "currency_mismatch"),
        (euros, quote, "quote_expired"),
        (euros, {}, "insufficient_funds"),
    ):
        response = client.post(CONVERT, with_key(dollars, target, "5.00", **more))
        require_problem(response, 422, code)
    assert text_of(dollars) == "1.00"


def test_a_quote_between_wallets_of_one_currency_is_a_mismatch() -> None:
    owner, dollars, _ = pair()
    response = api_client(owner).post(QUOTE, body_for(dollars, open_pot(owner), "1.00"))
    require_problem(response, 422, "currency_mismatch")


@override_settings(QUOTES_PER_HOUR=1)
def test_who_collects_quotes_is_throttled() -> None:
    owner, dollars, euros = pair()
    client = api_client(owner)
    client.post(QUOTE, body_for(dollars, euros, "1.00"))
    response = client.post(QUOTE, body_for(dollars, euros, "1.00"))
    require_problem(response, 429, "throttled")


def add_rate_as(user: User, **fields: str) -> int:
    form = {"base": "EUR", "quote": "USD", "rate": "1.25", "source": "desk", **fields}
    return signed_in(user).post(reverse("admin:transactions_exchangerate_add"), form).status_code


def test_an_operator_adds_a_rate_and_changes_none() -> None:
    source = uuid.uuid4().hex
    assert add_rate_as(operator(), source=source) == 302
    row = ExchangeRate.objects.get(source=source)
    page = reverse("admin:transactions_exchangerate_change", args=[row.pk])
    assert signed_in(operator()).get(page).status_code == 200
    assert signed_in(operator()).post(page, {"rate": "2"}).status_code == 403


def test_a_rate_that_cannot_be_shows_its_fault_and_is_not_added() -> None:
    source = uuid.uuid4().hex
    assert add_rate_as(operator(), source=source, base="USD", quote="EUR") == 200
    assert add_rate_as(operator(), source=source, rate="0") == 200
    assert not ExchangeRate.objects.filter(source=source).exists()


def test_a_rate_is_added_by_nobody_without_the_permission() -> None:
    assert add_rate_as(make_staff("transactions.view_exchangerate")) == 403
    assert add_rate_as(make_staff("transactions.add_exchangerate")) == 302
