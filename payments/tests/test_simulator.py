"""The simulated provider keeps its promises: its API, its page, its events, its report."""

import csv
import datetime
import re
import time

import httpx
import pytest

from fintech_core.signing import InvalidMessage, verify
from payments.tests.simulators import Receiver, Simulator, eventually


def test_a_payment_is_made_once_per_key(simulator: Simulator) -> None:
    fields = {"merchant_reference": "order-1", "amount": 5_000, "currency": "USD"}
    first = simulator.call("POST", "/v1/payments", fields, Idempotency_Key="key-once")
    again = simulator.call("POST", "/v1/payments", fields, Idempotency_Key="key-once")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["status"] == "requires_confirmation"
    other = simulator.call(
        "POST", "/v1/payments", {**fields, "amount": 1}, Idempotency_Key="key-once"
    )
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 1.5},
        {"amount": True},
        {"amount": "5"},
        {"amount": 10**16},
        {"currency": "usd"},
        {"currency": None},
        {"merchant_reference": ""},
        {"merchant_reference": "ä"},
        {"merchant_reference": "x" * 256},
    ],
)
def test_a_field_out_of_shape_is_refused(simulator: Simulator, changes: dict[str, object]) -> None:
    fields = {"merchant_reference": "order", "amount": 5_000, "currency": "USD", **changes}
    answer = simulator.call("POST", "/v1/payments", fields, Idempotency_Key="shape")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 60_000, b"\xff"])
def test_what_is_no_object_is_refused(simulator: Simulator, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {simulator.key}"}
    answer = httpx.post(f"{simulator.url}/v1/payments", content=body, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "Basic KEY", "Bearer KEYx"])
def test_nothing_is_told_without_the_key(simulator: Simulator, given: str) -> None:
    headers = {"Authorization": given.replace("KEY", simulator.key)}
    for path in ("/v1/payments/x", "/v1/events", "/v1/_behaviour", "/v1/settlement.csv"):
        assert httpx.get(simulator.url + path, headers=headers).status_code == 401


def test_unknown_paths_methods_and_sizes_are_said(simulator: Simulator) -> None:
    assert simulator.call("GET", "/v1/nothing").status_code == 404
    assert simulator.call("GET", "/v1/payments/pay_x").status_code == 404
    assert simulator.call("GET", "/nothing").status_code == 404
    assert simulator.call("DELETE", "/v1/payments/pay_x").status_code == 405
    assert simulator.call("GET", "/v1/events?limit=x").status_code == 400
    assert simulator.call("POST", "/v1/payments", {"x": "y" * 70_000}).status_code == 413


def test_a_payment_goes_from_step_to_step(simulator: Simulator) -> None:
    payment = simulator.create()["id"]
    path = f"/v1/payments/{payment}"
    assert simulator.call("POST", f"{path}/confirm").json()["status"] == "processing"
    assert simulator.call("POST", f"{path}/confirm").json()["status"] == "processing"
    assert simulator.simulate(payment).json()["status"] == "succeeded"
    assert simulator.call("POST", f"{path}/confirm").json()["status"] == "succeeded"
    for refused in (simulator.simulate(payment), simulator.call("POST", f"{path}/cancel")):
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "invalid_state")
    types = [event["type"] for event in simulator.events(payment)]
    assert types == ["payment.created", "payment.processing", "payment.succeeded"]
    assert [event["data"]["status"] for event in simulator.events(payment)] == [
        "requires_confirmation",
        "processing",
        "succeeded",
    ]


def test_a_canceled_payment_stays_so(simulator: Simulator) -> None:
    payment = simulator.create()["id"]
    for _ in range(2):
        canceled = simulator.call("POST", f"/v1/payments/{payment}/cancel")
        assert canceled.json()["status"] == "canceled"
    assert simulator.call("POST", f"/v1/payments/{payment}/confirm").status_code == 409
    assert simulator.simulate(payment).status_code == 409


def test_events_hold_no_secret(simulator: Simulator) -> None:
    created = simulator.create()
    told = str(simulator.events(created["id"]))
    assert created["client_secret"] not in told
    assert created["checkout_url"].rpartition("/")[2] not in told


def test_refunds_never_exceed_what_was_paid(simulator: Simulator) -> None:
    payment = simulator.create(1_000)["id"]

    def refund(key: str, amount: int, currency: str = "USD") -> httpx.Response:
        fields = {"payment": payment, "amount": amount, "currency": currency}
        fields |= {"merchant_reference": key}
        return simulator.call("POST", "/v1/refunds", fields, Idempotency_Key=f"{payment}{key}")

    assert refund("early", 1).json()["error"]["code"] == "payment_not_refundable"
    simulator.simulate(payment)
    assert refund("a", 600).status_code == 201
    assert refund("a", 600).status_code == 200
    assert refund("b", 401).json()["error"]["code"] == "refund_exceeds_payment"
    assert refund("c", 1, "EUR").json()["error"]["code"] == "currency_mismatch"
    assert refund("d", 400).status_code == 201
    assert simulator.fetch(payment)["refunded_amount"] == 1_000


def test_refunds_and_payouts_take_their_steps_by_themselves(simulator: Simulator) -> None:
    payment = simulator.create(1_000)["id"]
    simulator.simulate(payment)
    fields = {"payment": payment, "amount": 10, "currency": "USD", "merchant_reference": "r"}
    refund = simulator.call("POST", "/v1/refunds", fields, Idempotency_Key=f"{payment}r").json()
    fields = {"amount": 10, "currency": "USD", "merchant_reference": "p", "destination": "IBAN"}
    payout = simulator.call("POST", "/v1/payouts", fields, Idempotency_Key=f"{payment}p").json()
    assert (refund["status"], payout["status"]) == ("pending", "pending")
    eventually(lambda: len(simulator.events(payout["id"])) == 2)
    eventually(lambda: len(simulator.events(refund["id"])) == 1)
    assert [event["type"] for event in simulator.events(payout["id"])] == [
        "payout.in_transit",
        "payout.paid",
    ]
    assert [event["type"] for event in simulator.events(refund["id"])] == ["refund.succeeded"]


def test_events_are_signed_and_sent_until_they_are_taken(
    simulator: Simulator, receiver: Receiver
) -> None:
    receiver.statuses = [500, 400, 302]
    simulator.behave(webhook_url=receiver.url)
    payment = simulator.create()["id"]
    eventually(lambda: len(receiver.about(payment)) == 4)
    came = receiver.about(payment)
    assert {told.headers["webhook-id"] for told in came} == {came[0].event["id"]}
    assert len({told.body for told in came}) == 1
    for told in came:
        assert verify([simulator.secret], told.headers, told.body) == told.event["id"]
    eventually(lambda: simulator.events(payment)[0]["waiting"] == 0)
    assert simulator.events(payment)[0]["tries"] == 4


def test_events_wait_for_a_platform_that_is_away(simulator: Simulator, receiver: Receiver) -> None:
    simulator.behave(webhook_url="http://127.0.0.1:9/")
    payment = simulator.create()["id"]
    eventually(lambda: simulator.events(payment)[0]["tries"] >= 2)
    simulator.behave(webhook_url=receiver.url)
    eventually(lambda: receiver.types(payment) == ["payment.created"])


def test_the_page_pays_once(simulator: Simulator) -> None:
    created = simulator.create(123_450)
    page = httpx.get(created["checkout_url"])
    assert "1,234.50 USD" in page.text
    assert page.text.count("<button") == 2
    paid = httpx.post(created["checkout_url"], data={"outcome": "succeeded"})
    assert (paid.status_code, paid.headers["location"]) == (
        303,
        httpx.URL(created["checkout_url"]).path,
    )
    after = httpx.get(created["checkout_url"])
    assert "Paid" in after.text
    assert "<button" not in after.text
    httpx.post(created["checkout_url"], data={"outcome": "failed"})
    assert simulator.fetch(created["id"])["status"] == "succeeded"


def test_the_page_declines_and_tells_of_what_was_canceled(simulator: Simulator) -> None:
    declined, canceled = simulator.create(), simulator.create()
    httpx.post(declined["checkout_url"], data={"outcome": "failed"})
    simulator.call("POST", f"/v1/payments/{canceled['id']}/cancel")
    assert "Payment declined" in httpx.get(declined["checkout_url"]).text
    assert "Payment canceled" in httpx.get(canceled["checkout_url"]).text
    assert simulator.fetch(declined["id"])["failure_code"] == "card_declined"


def test_the_page_loads_nothing_and_cannot_be_framed(simulator: Simulator) -> None:
    page = httpx.get(simulator.create()["checkout_url"])
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"(src|href)=|url\(|@import|<script|style=", page.text)
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("token", ["", "x", "pay_x", "../v1/events", "%00", "x" * 4_000])
def test_a_guessed_page_is_not_there(simulator: Simulator, token: str) -> None:
    for method in ("GET", "POST"):
        assert httpx.request(method, f"{simulator.url}/checkout/{token}").status_code in {401, 404}


def test_what_people_wrote_is_shown_as_text(simulator: Simulator) -> None:
    fields = {"merchant_reference": "<b>x</b>", "amount": 1, "currency": "USD"}
    key = f"markup-{time.time()}"
    created = simulator.call("POST", "/v1/payments", fields, Idempotency_Key=key).json()
    assert "&lt;b&gt;x&lt;/b&gt;" in httpx.get(created["checkout_url"]).text


def test_the_report_has_each_move_once_with_its_fee(simulator: Simulator) -> None:
    paid, open_, small = simulator.create(10_000), simulator.create(), simulator.create(20)
    for payment in (paid, small):
        simulator.simulate(payment["id"])
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    text = simulator.call("GET", f"/v1/settlement.csv?from={today}&to={today}").text
    rows = {row["reference"]: row for row in csv.DictReader(text.splitlines())}
    assert (rows[paid["id"]]["amount"], rows[paid["id"]]["fee"]) == ("10000", "165")
    assert rows[small["id"]]["fee"] == "20"
    assert open_["id"] not in rows
    told = simulator.call("GET", f"/v1/settlement.json?from={today}&to={today}").json()["rows"]
    assert len(told) == len(rows)
    before = simulator.call("GET", "/v1/settlement.json?from=2020-01-01&to=2020-12-31").json()
    assert before["rows"] == []
    assert simulator.call("GET", "/v1/settlement.csv?from=x&to=y").status_code == 400


def test_it_remembers_over_a_restart(simulator: Simulator) -> None:
    created = simulator.create()
    simulator.simulate(created["id"])
    simulator.restart()
    assert simulator.fetch(created["id"])["status"] == "succeeded"
    assert len(simulator.events(created["id"])) == 3


def test_an_event_that_was_not_taken_comes_after_kill_9(
    simulator: Simulator, receiver: Receiver
) -> None:
    simulator.behave(webhook_url="http://127.0.0.1:9/")
    payment = simulator.create()["id"]
    simulator.simulate(payment)
    simulator.kill()
    simulator.start()
    simulator.behave(webhook_url=receiver.url)
    eventually(lambda: len(set(receiver.types(payment))) == 3)


def test_a_forger_is_recognized(simulator: Simulator, receiver: Receiver) -> None:
    simulator.behave("forge", webhook_url=receiver.url)
    payment = simulator.create()["id"]
    eventually(lambda: len(receiver.about(payment)) == 2)
    genuine = []
    for told in receiver.about(payment):
        try:
            verify([simulator.secret], told.headers, told.body)
            genuine.append(told.event["type"])
        except InvalidMessage:
            assert told.event["type"] == "payment.succeeded"
    assert genuine == ["payment.created"]
