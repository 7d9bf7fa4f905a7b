"""What everybody reads of holds, captures and reversals: what is true now, and nobody else's."""

import uuid
from typing import Any

import pytest

from tests.contract.hold_calls import BASE, act, hold, listed, shown
from tests.contract.test_transfer_over_http import require_problem
from transactions import services
from transactions.tests.factories import make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import hold_status, make_hold, make_overdue_hold
from users.models import User
from users.tests.factories import api_client
from wallet.services import freeze_wallet

pytestmark = pytest.mark.usefixtures("committed")


def balance(user: User) -> dict[str, Any]:
    path = f"/api/wallet/wallets/{wallet_of(user).pk}/balance/"
    told: dict[str, Any] = api_client(user).get(path).json()
    return told


def test_a_hold_shows_what_became_of_it_to_both_sides() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    hold_id = hold(api_client(payer), payee, "60.00")
    clients = (api_client(payer), api_client(payee))

    def told(name: str) -> Any:
        [first, second] = [shown(client, hold_id)[name] for client in clients]
        assert first == second
        return first

    assert (told("status"), told("captured_amount"), told("posted_at")) == ("pending", "0.00", None)
    act(clients[1], hold_id, "capture", amount="20.00", final=False)
    assert (told("status"), told("captured_amount")) == ("pending", "20.00")
    act(clients[1], hold_id, "reverse", amount="5.00")
    assert told("reversed_amount") == "5.00"
    posted_at = act(clients[1], hold_id, "capture").json()["posted_at"]
    assert (told("status"), told("posted_at")) == ("posted", posted_at)


def test_the_history_has_captures_and_no_line_for_what_ended_a_hold() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    captured, voided = (hold(api_client(payer), payee, "10.00") for _ in range(2))
    act(api_client(payee), captured, "capture", amount="4.00")
    act(api_client(payee), voided, "void")
    overdue = str(make_overdue_hold(payer, payee, "10.00"))
    services.expire_holds()
    for user in (payer, payee):
        rows = [row for row in listed(api_client(user)) if row["kind"] == "transfer"]
        told = [(row["id"], row["status"], row["parent"]) for row in rows]
        [capture] = [row for row in rows if row["parent"]]
        assert sorted(told) == sorted(
            [
                (overdue, "expired", None),
                (capture["id"], "posted", captured),
                (voided, "voided", None),
                (captured, "posted", None),
            ]
        )
        assert capture["amount"] == "4.00"
        own = {"balance_after": "96.00" if user is payer else "4.00"}
        assert capture["balance_after"] == own["balance_after"]


def test_a_declined_capture_is_found_by_its_id_by_who_asked_alone() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = hold(api_client(payer), payee, "6.00")
    declined = act(api_client(payee), hold_id, "capture", amount="7.00").json()["transaction"]
    for user in (payer, payee):
        assert declined not in {row["id"] for row in listed(api_client(user))}
    row = api_client(payee).get(f"{BASE}{declined}/").json()
    assert (row["parent"], row["decline_code"]) == (hold_id, "capture_exceeds_hold")
    require_problem(api_client(payer).get(f"{BASE}{declined}/"), 404, "not_found")


def test_the_status_filter_follows_what_is_shown() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client, taker = api_client(payer), api_client(payee)
    running, captured, voided = (hold(client, payee, "5.00") for _ in range(3))
    act(taker, captured, "capture")
    act(taker, voided, "void")
    swept = str(make_overdue_hold(payer, payee, "5.00"))
    services.expire_holds()
    overdue = str(make_overdue_hold(payer, payee, "5.00"))
    expected = {
        "pending": {running},
        "voided": {voided},
        "expired": {swept, overdue},
        "declined": set(),
    }
    for reader in (client, taker):
        for status, ids in expected.items():
            rows = listed(reader, f"?status={status}")
            assert {row["id"] for row in rows} == ids, status
            assert {row["status"] for row in rows} <= {status}
        rows = listed(reader, "?status=posted&kind=transfer")
        assert {row["parent"] or row["id"] for row in rows} == {captured}
        assert len(rows) == 2
    assert hold_status(uuid.UUID(overdue)) == "open"


def test_pages_of_a_status_show_every_hold_once() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    ids = [hold(api_client(payer), payee, "1.00") for _ in range(5)]
    act(api_client(payee), ids[2], "void")
    page = api_client(payer).get(f"{BASE}?status=pending&page_size=2").json()
    seen = [row["id"] for row in page["results"]]
    while page["next"]:
        page = api_client(payer).get(page["next"]).json()
        seen += [row["id"] for row in page["results"]]
    assert seen == [ids[4], ids[3], ids[1], ids[0]]


def test_an_overdue_hold_reads_expired_and_its_money_available_before_it_is_swept() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    running = make_hold(payer, payee, "1.00")
    hold_id = make_overdue_hold(payer, payee, "6.00")
    client = api_client(payer)
    assert shown(client, str(hold_id))["status"] == "expired"
    wallet_id = wallet_of(payer).pk
    for path in ("", f"wallets/{wallet_id}/", f"wallets/{wallet_id}/balance/"):
        told = client.get(f"/api/wallet/{path}").json()
        assert (told["held"], told["available"]) == ("1.00", "9.00"), path
    [told] = client.get("/api/wallet/wallets/").json()["results"]
    assert told["held"] == "1.00"
    renamed = client.patch(f"/api/wallet/wallets/{wallet_id}/", {"name": "Rent"}, format="json")
    assert renamed.json()["held"] == "1.00"
    assert [row["id"] for row in balance(payer)["holds"]] == [str(running)]
    assert (hold_status(hold_id), wallet_of(payer).held) == ("open", 7)
    assert services.expire_holds() >= 1
    assert hold_status(hold_id) == "expired"


def test_a_balance_lists_its_open_holds_which_add_up_to_what_is_held(settings: Any) -> None:
    settings.FEES = {"transfer": {"*": {"*": {"percent": "1"}}}}
    payer, payee = make_payer("100.00"), make_payee()
    hold_id = hold(api_client(payer), payee, "50.00")
    act(api_client(payee), hold_id, "capture", amount="20.00", final=False)
    freeze_wallet(wallet_id=wallet_of(payer).pk, acting_user=payee, reason="test")
    told = balance(payer)
    [row] = told["holds"]
    assert set(row) == {
        *("id", "amount", "fee", "currency", "to_wallet", "to_user_email", "created_at"),
        "expires_at",
    }
    assert (row["id"], row["amount"], row["fee"]) == (hold_id, "30.00", "0.30")
    assert (row["to_user_email"], told["held"], told["as_of_sequence"]) == (payee.email, "30.30", 2)
    assert balance(payee)["holds"] == []


def test_a_list_takes_as_many_statements_however_long_it_is(statements: list[str]) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client = api_client(payer)

    def count() -> int:
        statements.clear()
        client.get(BASE)
        client.get("/api/wallet/wallets/")
        client.get(f"/api/wallet/wallets/{wallet_of(payer).pk}/balance/")
        return len(statements)

    hold(client, payee, "1.00")
    count()
    few = count()
    for _ in range(4):
        act(api_client(payee), hold(client, payee, "1.00"), "capture", final=True)
        hold(client, payee, "1.00")
    assert count() == few
