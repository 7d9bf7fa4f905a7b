"""Further wallets, closing and overdrafts as docs/api.md promises them."""

import uuid
from typing import Any

import pytest
from django.test import override_settings

from tests.contract.test_transfer_over_http import TRANSFER, require_problem
from transactions.tests.exchange_factories import fresh, fund, open_pot
from transactions.tests.factories import make_payee, make_payer, wallet_of
from users.tests.factories import api_client, make_staff
from wallet.models import WalletKind
from wallet.services import freeze_wallet, open_platform_wallet

pytestmark = pytest.mark.usefixtures("committed")

WALLETS = "/api/wallet/wallets/"
MEMBERS = {
    *("id", "name", "currency", "balance", "held", "available", "status", "is_primary"),
    "created_at",
}


def test_another_wallet_is_opened_shown_listed_and_renamed() -> None:
    user = make_payee()
    client = api_client(user)
    response = client.post(WALLETS, {"currency": "EUR", "name": "Holidays"})
    assert response.status_code == 201
    told = response.json()
    assert set(told) == MEMBERS
    assert told | {"id": "", "created_at": ""} == {
        "id": "",
        "name": "Holidays",
        "currency": "EUR",
        "balance": "0.00",
        "held": "0.00",
        "available": "0.00",
        "status": "active",
        "is_primary": False,
        "created_at": "",
    }
    path = f"{WALLETS}{told['id']}/"
    assert client.get(path).json() == told
    listed = client.get(WALLETS).json()["results"]
    assert [(w["id"], w["is_primary"]) for w in listed] == [
        (told["id"], False),
        (str(wallet_of(user).pk), True),
    ]
    assert client.patch(path, {"name": "Sea"}).json() == told | {"name": "Sea"}


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("currency", {"name": "Pot"}),
        ("currency", {"name": "Pot", "currency": "XXX"}),
        ("currency", {"name": "Pot", "currency": "usd"}),
        ("currency", {"name": "Pot", "currency": 1}),
        ("name", {"currency": "USD"}),
        ("name", {"currency": "USD", "name": ""}),
        ("name", {"currency": "USD", "name": "  "}),
        ("name", {"currency": "USD", "name": "x" * 61}),
        ("balance", {"currency": "USD", "name": "Pot", "balance": "5.00"}),
    ],
)
def test_a_wallet_that_cannot_be_opened_is_a_400_on_its_field(
    field: str, body: dict[str, Any]
) -> None:
    user = make_payee()
    problem = require_problem(api_client(user).post(WALLETS, body), 400, "validation_error")
    assert list(problem["errors"]) == [field]
    assert user.wallets.count() == 1


@override_settings(WALLETS_PER_USER=1)
def test_one_wallet_too_many_is_a_409_that_names_the_limit() -> None:
    response = api_client(make_payee()).post(WALLETS, {"currency": "USD", "name": "Pot"})
    assert require_problem(response, 409, "too_many_wallets")["limit"] == 1


@override_settings(WALLETS_OPENED_PER_DAY=1)
def test_who_opens_wallets_without_end_is_throttled() -> None:
    client = api_client(make_payee())
    client.post(WALLETS, {"currency": "USD", "name": "Pot"})
    response = client.post(WALLETS, {"currency": "USD", "name": "Pot"})
    require_problem(response, 429, "throttled")
    assert int(response["Retry-After"]) > 0


def test_an_empty_wallet_is_closed_once() -> None:
    user = make_payee()
    pot, client = open_pot(user), api_client(user)
    response = client.post(f"{WALLETS}{pot.pk}/close/")
    assert (response.status_code, response.json()["status"]) == (200, "closed")
    problem = require_problem(client.post(f"{WALLETS}{pot.pk}/close/"), 409, "invalid_state")
    assert problem["wallet_status"] == "closed"
    assert client.get(f"{WALLETS}{pot.pk}/").json()["status"] == "closed"


def test_closing_takes_no_body() -> None:
    user = make_payee()
    response = api_client(user).post(f"{WALLETS}{open_pot(user).pk}/close/", {"force": True})
    require_problem(response, 400, "validation_error")


def test_a_wallet_with_money_or_frozen_is_not_closed() -> None:
    user = make_payee()
    full, frozen, client = open_pot(user, balance="0.01"), open_pot(user), api_client(user)
    freeze_wallet(wallet_id=frozen.pk, acting_user=user, reason="test")
    require_problem(client.post(f"{WALLETS}{full.pk}/close/"), 409, "wallet_not_empty")
    require_problem(client.post(f"{WALLETS}{frozen.pk}/close/"), 409, "invalid_state")
    assert (fresh(full).status, fresh(frozen).status) == ("active", "frozen")


def test_a_transfer_with_a_closed_wallet_is_declined() -> None:
    payer, payee = make_payer("5.00"), make_payee()
    pot = open_pot(payee)
    api_client(payee).post(f"{WALLETS}{pot.pk}/close/")
    body = {"to_wallet": str(pot.pk), "amount": "1.00", "idempotency_key": uuid.uuid4().hex}
    require_problem(api_client(payer).post(TRANSFER, body), 422, "wallet_closed")


def test_money_moves_between_own_pots_and_shows_on_both() -> None:
    user = make_payer("5.00", tier=0)
    pot, client = open_pot(user), api_client(user)
    body = {
        "to_wallet": str(pot.pk),
        "from_wallet": str(wallet_of(user).pk),
        "amount": "2.00",
        "idempotency_key": uuid.uuid4().hex,
    }
    told = client.post(TRANSFER, body).json()
    assert (told["status"], told["balance_after"], told["fee"]) == ("posted", "3.00", "0.00")
    body = {
        "to_wallet": str(open_pot(user).pk),
        "from_wallet": str(pot.pk),
        "amount": "1.00",
        "idempotency_key": uuid.uuid4().hex,
    }
    told = client.post(TRANSFER, body).json()
    detail = client.get(f"/api/transactions/transactions/{told['id']}/").json()
    assert {name: detail[name] for name in told} == told
    assert [entry["amount"] for entry in detail["entries"]] == ["-1.00", "1.00"]
    listed = client.get("/api/transactions/transactions/").json()["results"]
    assert listed[0]["id"] == told["id"]


@pytest.mark.parametrize("call", ["", "close/"])
def test_anothers_wallet_is_a_404(call: str) -> None:
    client, pot = api_client(make_payee()), open_pot(make_payee())
    path = f"{WALLETS}{pot.pk}/{call}"
    response = client.post(path) if call else client.patch(path, {"name": "Mine"})
    require_problem(response, 404, "not_found")
    assert (fresh(pot).status, fresh(pot).name) == ("active", "Pot")


@pytest.mark.parametrize(
    ("method", "call"), [("post", ""), ("post", "{}/close/"), ("patch", "{}/overdraft/")]
)
def test_nobody_is_told_anything_without_a_token(method: str, call: str) -> None:
    path = WALLETS + call.format(uuid.uuid4())
    require_problem(getattr(api_client(), method)(path, {}), 401, "not_authenticated")


def test_staff_with_the_permission_set_an_overdraft_that_its_owner_sees() -> None:
    user, operator = make_payee(), make_staff("wallet.set_overdraft")
    path = f"{WALLETS}{wallet_of(user).pk}/"
    response = api_client(operator).patch(f"{path}overdraft/", {"limit": "25"})
    assert (response.status_code, response.json()["overdraft_limit"]) == (200, "25.00")
    told = api_client(user).get(path).json()
    assert set(told) == MEMBERS | {"overdraft_limit"}
    assert (told["overdraft_limit"], told["balance"]) == ("25.00", "0.00")
    response = api_client(operator).patch(f"{path}overdraft/", {"limit": "0"})
    assert response.json()["overdraft_limit"] == "0.00"


@pytest.mark.parametrize(
    "limit", ["1.001", "-1", "1e3", "NaN", " 1", "", None, 5, "1" * 13, "٣", True]
)
def test_a_limit_is_an_amount_of_the_wallets_currency(limit: Any) -> None:
    user, client = make_payee(), api_client(make_staff("wallet.set_overdraft"))
    response = client.patch(f"{WALLETS}{wallet_of(user).pk}/overdraft/", {"limit": limit})
    problem = require_problem(response, 400, "validation_error")
    assert list(problem["errors"]) == ["limit"]
    assert wallet_of(user).overdraft_limit is None


def test_an_overdraft_is_not_taken_back_while_it_is_in_use() -> None:
    user, client = make_payee(), api_client(make_staff("wallet.set_overdraft"))
    path = f"{WALLETS}{wallet_of(user).pk}/overdraft/"
    client.patch(path, {"limit": "10.00"})
    body = {
        "to_user_email": make_payee().email,
        "amount": "4.00",
        "idempotency_key": uuid.uuid4().hex,
    }
    assert api_client(user).post(TRANSFER, body).json()["balance_after"] == "-4.00"
    require_problem(client.patch(path, {"limit": "3.99"}), 409, "overdraft_in_use")
    fund(wallet_of(user), "0.01")
    assert client.patch(path, {"limit": "3.99"}).status_code == 200


def test_nobody_but_staff_with_the_permission_sets_an_overdraft() -> None:
    user = make_payee()
    path = f"{WALLETS}{wallet_of(user).pk}/overdraft/"
    for caller in (user, make_staff("wallet.freeze_wallet")):
        require_problem(api_client(caller).patch(path, {"limit": "1.00"}), 403, "permission_denied")
    assert wallet_of(user).overdraft_limit is None


def test_the_platforms_wallets_have_no_overdraft() -> None:
    cash = open_platform_wallet(purpose="cash:test", kind=WalletKind.CASH, currency="USD")
    client = api_client(make_staff("wallet.set_overdraft"))
    for wallet_id in (cash.pk, uuid.uuid4()):
        response = client.patch(f"{WALLETS}{wallet_id}/overdraft/", {"limit": "1.00"})
        require_problem(response, 404, "not_found")
