"""Fees as docs/api.md promises them: shown before, taken as shown, and shown again."""

import uuid
from typing import Any

import pytest
from django.test import override_settings

from tests.contract.test_transfer_over_http import TRANSFER, require_problem
from transactions.tests.exchange_factories import open_pot, set_rate, text_of
from transactions.tests.factories import make_payee, make_payer, wallet_of
from users.tests.factories import api_client

pytestmark = pytest.mark.usefixtures("committed")

FEES = "/api/transactions/fees/"
SCHEDULE: dict[str, Any] = {
    "transfer": {
        "1": {"USD": {"flat": "0.30", "percent": "1"}},
        "2": {"USD": {"percent": "1", "minimum": "0.05"}},
    },
    "conversion": {"*": {"*": {"percent": "2"}}},
}


def ask(tier: int = 2, **query: str) -> Any:
    values = {"kind": "transfer", "amount": "10.00", "currency": "USD", **query}
    return api_client(make_payee(tier=tier)).get(FEES, values)


@override_settings(FEES=SCHEDULE)
@pytest.mark.parametrize(
    ("tier", "query", "fee", "total"),
    [
        (2, {}, "0.10", "10.10"),
        (2, {"amount": "1"}, "0.05", "1.05"),
        (1, {}, "0.40", "10.40"),
        (0, {}, "0.00", "10.00"),
        (2, {"currency": "EUR"}, "0.00", "10.00"),
        (2, {"kind": "conversion"}, "0.20", "10.20"),
        (2, {"kind": "conversion", "currency": "JPY", "amount": "1000"}, "20", "1020"),
    ],
)
def test_a_fee_is_shown_before(tier: int, query: dict[str, str], fee: str, total: str) -> None:
    response = ask(tier, **query)
    assert response.status_code == 200
    told = response.json()
    assert set(told) == {"kind", "amount", "currency", "fee", "total"}
    assert (told["fee"], told["total"]) == (fee, total)


def test_without_a_schedule_everything_is_free() -> None:
    assert ask().json() == {
        "kind": "transfer",
        "amount": "10.00",
        "currency": "USD",
        "fee": "0.00",
        "total": "10.00",
    }


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("kind", {"kind": "deposit"}),
        ("amount", {"amount": "0"}),
        ("amount", {"amount": "1.001"}),
        ("amount", {"amount": "ten"}),
        ("currency", {"currency": "XXX"}),
        ("at", {"at": "2"}),
    ],
)
def test_a_bad_question_is_a_400_on_its_field(field: str, query: dict[str, str]) -> None:
    assert list(require_problem(ask(2, **query), 400, "validation_error")["errors"]) == [field]


def test_nobody_is_told_fees_without_a_token() -> None:
    require_problem(api_client().get(FEES), 401, "not_authenticated")


@override_settings(FEES=SCHEDULE)
def test_a_transfer_costs_what_was_shown_and_shows_it_to_both_sides() -> None:
    payer, payee = make_payer("10.10"), make_payee()
    client = api_client(payer)
    body = {
        "to_user_email": payee.email,
        "amount": "10.00",
        "idempotency_key": uuid.uuid4().hex,
    }
    told = client.post(TRANSFER, body).json()
    assert (told["amount"], told["fee"], told["balance_after"]) == ("10.00", "0.10", "0.00")
    for user in (payer, payee):
        seen = api_client(user).get(f"/api/transactions/transactions/{told['id']}/").json()
        assert (seen["amount"], seen["fee"]) == ("10.00", "0.10")
    assert text_of(wallet_of(payee)) == "10.00"


@override_settings(FEES=SCHEDULE)
def test_a_fee_that_does_not_fit_is_a_recorded_decline() -> None:
    payer, payee = make_payer("10.09"), make_payee()
    body = {
        "to_user_email": payee.email,
        "amount": "10.00",
        "idempotency_key": uuid.uuid4().hex,
    }
    require_problem(api_client(payer).post(TRANSFER, body), 422, "insufficient_funds")
    assert text_of(wallet_of(payer)) == "10.09"


@override_settings(FEES=SCHEDULE)
def test_a_quote_shows_the_fee_that_its_conversion_takes() -> None:
    set_rate("EUR", "USD", "1.25")
    owner = make_payer("10.20")
    dollars, client = wallet_of(owner), api_client(owner)
    body = {
        "from_wallet": str(dollars.pk),
        "to_wallet": str(open_pot(owner, "EUR").pk),
        "amount": "10.00",
    }
    quote = client.post("/api/transactions/transactions/quote/", body).json()
    assert quote["fee"] == "0.20"
    keyed = {**body, "quote": quote["id"], "idempotency_key": uuid.uuid4().hex}
    told = client.post("/api/transactions/transactions/convert/", keyed).json()
    assert (told["fee"], told["balance_after"]) == ("0.20", "0.00")
