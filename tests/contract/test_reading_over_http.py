"""Wallets, entries and history over HTTP: what an owner sees, what nobody else does, bad queries."""

import base64
import uuid
from typing import Any

import pytest

from tests.contract.test_transfer_over_http import require_problem
from transactions import services
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import api_client

pytestmark = pytest.mark.usefixtures("committed")

HISTORY = "/api/transactions/transactions/"


def entries_path(user: User) -> str:
    return f"/api/wallet/wallets/{wallet_of(user).pk}/entries/"


def paid(times: int) -> tuple[User, User]:
    payer, payee = make_payer("100.00"), make_payee()
    for number in range(1, times + 1):
        services.transfer(instruct(payer, payee, f"{number}.00", description=f"no. {number}"))
    return payer, payee


def test_a_wallet_shows_its_money_as_decimal_strings() -> None:
    told = api_client(make_payer("12.50")).get("/api/wallet/").json()
    assert set(told) == {
        *("id", "name", "currency", "balance", "held", "available", "status", "is_primary"),
        "created_at",
    }
    assert (told["balance"], told["held"], told["available"]) == ("12.50", "0.00", "12.50")
    assert told["is_primary"] is True


def test_entries_are_signed_newest_first_and_name_the_other_side() -> None:
    payer, payee = paid(2)
    rows = api_client(payer).get(entries_path(payer)).json()["results"]
    assert [(r["sequence"], r["amount"], r["balance_after"]) for r in rows] == [
        (3, "-2.00", "97.00"),
        (2, "-1.00", "99.00"),
        (1, "100.00", "100.00"),
    ]
    assert [r["counterparty"] for r in rows] == [payee.email, payee.email, None]
    assert set(rows[0]) == {
        *("sequence", "transaction", "kind", "amount", "balance_after", "counterparty"),
        *("description", "created_at"),
    }


def test_pages_show_every_entry_once_in_both_directions_while_rows_are_added() -> None:
    payer, payee = paid(9)
    client = api_client(payer)
    page = client.get(entries_path(payer) + "?page_size=4").json()
    seen, pages = [row["sequence"] for row in page["results"]], [page]
    while page["next"]:
        services.transfer(instruct(payer, payee, "0.01"))
        page = client.get(page["next"]).json()
        seen += [row["sequence"] for row in page["results"]]
        pages.append(page)
    assert seen == list(range(10, 0, -1))
    assert pages[0]["previous"] is None
    back = client.get(page["previous"]).json()
    assert [row["sequence"] for row in back["results"]] == [6, 5, 4, 3]


def test_the_history_shows_both_sides_but_declines_only_to_the_payer() -> None:
    payer, payee = make_payer("1.00"), make_payee()
    services.transfer(instruct(payer, payee, "1.00"))
    services.transfer(instruct(payer, payee, "1.00"))
    mine = api_client(payer).get(HISTORY).json()["results"]
    theirs = api_client(payee).get(HISTORY).json()["results"]
    assert [row["status"] for row in mine] == ["declined", "posted", "posted"]
    assert [row["status"] for row in theirs] == ["posted"]
    assert mine[0]["decline_code"] == "insufficient_funds"
    assert (mine[1]["balance_after"], theirs[0]["balance_after"]) == ("0.00", "1.00")
    declined = api_client(payer).get(HISTORY + "?status=declined").json()["results"]
    assert [row["id"] for row in declined] == [mine[0]["id"]]
    require_problem(api_client(payee).get(f"{HISTORY}{mine[0]['id']}/"), 404, "not_found")


def test_a_transaction_shows_each_side_its_own_entries_only() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    transaction = services.transfer(instruct(payer, payee, "4.00")).transaction
    path = f"{HISTORY}{transaction.id}/"
    for user, amount, balance in ((payer, "-4.00", "6.00"), (payee, "4.00", "4.00")):
        told = api_client(user).get(path).json()
        assert [entry["amount"] for entry in told["entries"]] == [amount]
        assert told["balance_after"] == balance
    require_problem(api_client(make_payee()).get(path), 404, "not_found")


def test_a_balance_is_told_as_it_is_and_as_it_was() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    first = services.transfer(instruct(payer, payee, "4.00")).transaction
    services.transfer(instruct(payer, payee, "1.00"))
    client = api_client(payer)
    path = f"/api/wallet/wallets/{wallet_of(payer).pk}/balance/"
    now = client.get(path).json()
    assert (now["balance"], now["available"], now["as_of_sequence"]) == ("5.00", "5.00", 3)
    then = client.get(path, {"at": first.created_at.isoformat()}).json()
    assert (then["balance"], then["as_of_sequence"]) == ("6.00", 2)
    before = client.get(path, {"at": "2020-01-01T00:00:00Z"}).json()
    assert (before["balance"], before["as_of_sequence"]) == ("0.00", 0)


@pytest.mark.parametrize("suffix", ["", "balance/", "entries/"])
def test_somebody_elses_wallet_is_not_found(suffix: str) -> None:
    stranger, owner = make_payer("0"), make_payer("5.00")
    path = f"/api/wallet/wallets/{wallet_of(owner).pk}/{suffix}"
    require_problem(api_client(stranger).get(path), 404, "not_found")
    assert api_client(owner).get(path).status_code == 200


def test_a_wallet_is_renamed_by_its_owner_alone() -> None:
    owner, stranger = make_payer("0"), make_payer("0")
    path = f"/api/wallet/wallets/{wallet_of(owner).pk}/"
    assert api_client(owner).patch(path, {"name": "Rent"}, format="json").json()["name"] == "Rent"
    response = api_client(stranger).patch(path, {"name": "Mine"}, format="json")
    require_problem(response, 404, "not_found")
    for bad in ({"balance": "9.00"}, {"name": ""}, {"name": "x" * 61}, {"status": "closed"}):
        response = api_client(owner).patch(path, bad, format="json")
        require_problem(response, 400, "validation_error")


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "bad",
    ["abc", "%00", cursor("p=%00"), cursor("o:"), cursor("o:-1"), cursor("x:1"), cursor("o:1 ")]
    + [cursor("o:' or 1=1--"), cursor("o:" + "9" * 30), cursor("o:１"), "é", "="],
)
@pytest.mark.parametrize("place", ["entries", "history"])
def test_a_cursor_that_was_not_made_here_is_refused(place: str, bad: str) -> None:
    user = make_payer("0")
    path = entries_path(user) if place == "entries" else HISTORY
    require_problem(api_client(user).get(path, {"cursor": bad}), 400, "invalid_cursor")


@pytest.mark.parametrize(
    "query",
    ["page_size=0", "page_size=201", "page_size=1000000000", "page_size=x", "page_size=-1"]
    + [
        "page_size=10&page_size=20",
        "foo=1",
        "kind=gift",
        "status=POSTED",
        "wallet=abc",
        "kind=%00",
    ],
)
def test_a_bad_query_is_refused(query: str) -> None:
    response = api_client(make_payer("0")).get(f"{HISTORY}?{query}")
    require_problem(response, 400, "validation_error")


def test_a_query_of_10_kb_is_refused() -> None:
    response = api_client(make_payer("0")).get(f"{HISTORY}?q={'x' * 10_240}")
    require_problem(response, 414, "uri_too_long")


@pytest.mark.parametrize("bad", ["abc", "%00", "..%2f..%2fetc%2fpasswd", "1'%20or%201=1", "1"])
def test_a_path_that_is_no_id_is_not_found(bad: str) -> None:
    client = api_client(make_payer("0"))
    for path in (f"{HISTORY}{bad}/", f"/api/wallet/wallets/{bad}/"):
        require_problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["put", "patch", "delete", "post"])
def test_entries_and_transactions_cannot_be_changed(method: str) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    row = services.transfer(instruct(payer, payee, "1.00")).transaction
    client = api_client(payer)
    for path in (entries_path(payer), f"{HISTORY}{row.id}/"):
        require_problem(getattr(client, method)(path), 405, "method_not_allowed")


def test_freezing_is_for_staff_with_the_permission() -> None:
    from django.contrib.auth.models import Permission

    user, staff = make_payer("5.00"), make_payee()
    path = f"/api/wallet/wallets/{wallet_of(user).pk}"
    body: dict[str, Any] = {"reason": "suspected fraud"}
    response = api_client(user).post(f"{path}/freeze/", body, format="json")
    require_problem(response, 403, "permission_denied")
    User.objects.filter(pk=staff.pk).update(is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="freeze_wallet"))
    operator = api_client(User.objects.get(pk=staff.pk))
    require_problem(operator.post(f"{path}/freeze/", {}, format="json"), 400, "validation_error")
    frozen = operator.post(f"{path}/freeze/", body, format="json")
    assert (frozen.status_code, frozen.json()["status"]) == (200, "frozen")
    again = operator.post(f"{path}/freeze/", body, format="json")
    require_problem(again, 409, "invalid_state")
    thawed = operator.post(f"{path}/unfreeze/", body, format="json")
    assert thawed.json()["status"] == "active"
    missing = f"/api/wallet/wallets/{uuid.uuid4()}/freeze/"
    require_problem(operator.post(missing, body, format="json"), 404, "not_found")
