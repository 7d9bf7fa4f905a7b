"""``POST /api/transactions/transactions/batch/`` as docs/api.md promises it."""

import uuid
from typing import Any

import pytest

from transactions.models import LedgerEntry, Transaction
from transactions.tests.factories import balance_of, make_payee, make_payer
from users.models import User
from users.tests.factories import api_client

pytestmark = pytest.mark.usefixtures("committed")

BATCH = "/api/transactions/transactions/batch/"
TRANSFER = "/api/transactions/transactions/transfer/"


def item(payee: User, amount: str, **members: Any) -> dict[str, Any]:
    return {
        "to_user_email": payee.email,
        "amount": amount,
        "idempotency_key": uuid.uuid4().hex,
        **members,
    }


def send(client: Any, mode: str, *transfers: Any) -> Any:
    return client.post(BATCH, {"mode": mode, "transfers": list(transfers)}, format="json")


@pytest.mark.parametrize("mode", ["independent", "atomic"])
def test_a_batch_posts_in_order_and_a_retry_gets_the_same_array(mode: str) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client = api_client(payer)
    transfers = [item(payee, f"{n}.00") for n in (1, 2, 3)]
    first = send(client, mode, *transfers)
    assert first.status_code == 200, first.content
    body = first.json()
    assert (body["posted"], body["declined"]) == (3, 0)
    assert [r["status"] for r in body["results"]] == ["posted"] * 3
    assert [r["transaction"]["amount"] for r in body["results"]] == ["1.00", "2.00", "3.00"]
    assert [r["transaction"]["balance_after"] for r in body["results"]] == [
        "99.00",
        "97.00",
        "94.00",
    ]
    again = send(client, mode, *transfers)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert (balance_of(payer), balance_of(payee)) == ("94.00", "6.00")


def test_an_independent_batch_tells_what_became_of_each() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    same = uuid.uuid4().hex
    response = send(
        client,
        "independent",
        item(payee, "6.00", idempotency_key=same),
        item(payee, "6.00"),
        item(payee, "1.005"),
        {"to_user_email": payee.email, "amount": "1.00"},
        "not a transfer",
        {**item(payee, "1.00"), "to_user_email": "nobody@example.com"},
        item(payee, "6.00", idempotency_key=same),
        item(payee, "2.00", idempotency_key=same),
        item(payee, "4.00"),
    )
    assert response.status_code == 200, response.content
    results = response.json()["results"]
    assert [r["status"] for r in results] == [
        *("posted", "declined", "declined", "declined", "declined", "declined"),
        *("posted", "declined", "posted"),
    ]
    assert [r["error"]["code"] for r in results if "error" in r] == [
        "insufficient_funds",
        "validation_error",
        "idempotency_key_required",
        "validation_error",
        "recipient_not_found",
        "idempotency_key_reused",
    ]
    assert [r["error"]["status"] for r in results if "error" in r] == [422, 400, 400, 400, 404, 422]
    assert "amount" in results[2]["error"]["errors"]
    assert results[0]["transaction"] == results[6]["transaction"]
    assert (response.json()["posted"], response.json()["declined"]) == (3, 6)
    assert (balance_of(payer), balance_of(payee)) == ("0.00", "10.00")


def test_of_an_atomic_batch_with_one_bad_transfer_nothing_is_posted() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    transfers = [item(payee, "6.00"), item(payee, "3.00"), item(payee, "6.00")]
    for _ in range(2):
        response = send(client, "atomic", *transfers)
        assert response.status_code == 422
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert (problem["code"], problem["index"]) == ("insufficient_funds", 2)
        assert (balance_of(payer), balance_of(payee)) == ("10.00", "0.00")
    [declined] = Transaction.objects.filter(initiated_by=payer)
    assert (declined.status, str(declined.pk)) == ("declined", problem["transaction"])
    assert send(client, "atomic", *transfers[:2]).json()["posted"] == 2


def test_an_atomic_batch_names_the_place_of_an_unknown_recipient_and_of_a_bad_field() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    unknown = {**item(payee, "1.00"), "to_user_email": "nobody@example.com"}
    problem = send(client, "atomic", item(payee, "1.00"), unknown).json()
    assert (problem["status"], problem["code"], problem["index"]) == (422, "recipient_not_found", 1)
    malformed = send(client, "atomic", item(payee, "1.00"), item(payee, "one"))
    assert malformed.status_code == 400
    assert list(malformed.json()["errors"]) == ["transfers.1.amount"]
    keyless = send(client, "atomic", {"to_user_email": payee.email, "amount": "1.00"})
    assert list(keyless.json()["errors"]) == ["transfers.0.idempotency_key"]
    assert Transaction.objects.filter(initiated_by=payer).count() == 0
    assert balance_of(payer) == "10.00"


def test_guessing_recipients_is_throttled_and_what_was_posted_is_told(settings: Any) -> None:
    settings.UNKNOWN_RECIPIENTS_PER_HOUR = 2
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    unknown = [
        item(payee, "1.00", to_user_email=f"nobody{number}@example.com") for number in range(3)
    ]
    # As many as there are: money has moved, and its batch is answered.
    response = send(client, "independent", item(payee, "1.00"), *unknown)
    assert (response.status_code, response.json()["posted"]) == (200, 1)
    for mode in ("independent", "atomic"):
        refused = send(client, mode, item(payee, "1.00"))
        assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
        assert int(refused["Retry-After"]) > 0
    assert balance_of(payee) == "1.00"


def test_guessing_by_atomic_batches_is_throttled(settings: Any) -> None:
    settings.UNKNOWN_RECIPIENTS_PER_HOUR = 2
    payer, payee = make_payer("10.00"), make_payee()
    client, codes = api_client(payer), []
    for _ in range(3):
        unknown = item(payee, "1.00", to_user_email="nobody@example.com")
        codes.append(send(client, "atomic", unknown).json()["code"])
    assert codes == ["recipient_not_found", "recipient_not_found", "throttled"]


def test_item_two_may_spend_what_item_one_brings() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    pot = str(payer.wallet.pk)
    response = send(client, "atomic", item(payee, "10.00", from_wallet=pot), item(payee, "0.01"))
    assert response.json()["index"] == 1
    response = send(client, "independent", item(payee, "10.00"), item(payee, "0.01"))
    assert [r["status"] for r in response.json()["results"]] == ["posted", "declined"]


def test_a_transfer_in_a_batch_and_the_same_one_alone_are_one_request() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    transfer = item(payee, "4.00")
    alone = client.post(TRANSFER, transfer, format="json")
    [result] = send(client, "independent", transfer).json()["results"]
    assert result["transaction"] == alone.json()
    assert balance_of(payer) == "6.00"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "mode"),
        ({"mode": "atomic"}, "transfers"),
        ({"mode": "some", "transfers": [{}]}, "mode"),
        ({"mode": "atomic", "transfers": []}, "transfers"),
        ({"mode": "atomic", "transfers": {}}, "transfers"),
        ({"mode": "independent", "transfers": [{}] * 1001}, "transfers"),
        ({"mode": "atomic", "transfers": [{}], "more": 1}, "more"),
    ],
    ids=["empty", "no-transfers", "mode", "none", "object", "too-many", "unknown"],
)
def test_a_malformed_batch_names_its_field(body: dict[str, Any], field: str) -> None:
    response = api_client(make_payer("10.00")).post(BATCH, body, format="json")
    assert response.status_code == 400
    assert field in response.json()["errors"]


def test_a_thousand_transfers_fit_in_one_request() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    before = LedgerEntry.objects.filter(wallet=payee.wallet).count()
    transfers = [item(payee, "0.01") for _ in range(1000)]
    response = send(api_client(payer), "atomic", *transfers)
    assert response.json()["posted"] == 1000
    assert balance_of(payer) == "0.00"
    assert LedgerEntry.objects.filter(wallet=payee.wallet).count() == before + 1000


def test_a_batch_needs_a_caller() -> None:
    from rest_framework.test import APIClient

    assert send(APIClient(), "atomic", {}).status_code == 401
