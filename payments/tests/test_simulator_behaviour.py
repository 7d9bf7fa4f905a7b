"""The simulated provider misbehaves as it is told: by amount, by key, and by its control."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from fintech_core.signing import InvalidMessage, verify
from payments.tests.simulators import Receiver, Simulator, eventually
from simulator.behaviour import AMOUNTS, BEHAVIOURS

AMOUNT_OF = {name: amount for amount, name in AMOUNTS.items()}


def post(simulator: Simulator, kind: str, key: str, **fields: object) -> httpx.Response:
    fields = {"merchant_reference": key, "currency": "USD", **fields}
    return simulator.call("POST", f"/v1/{kind}", fields, Idempotency_Key=key)


def status_of(simulator: Simulator, kind: str, identity: str) -> str:
    return str(simulator.call("GET", f"/v1/{kind}/{identity}").json()["status"])


def test_the_manual_knows_every_behaviour() -> None:
    manual = (Path(settings.BASE_DIR) / "docs" / "providers.md").read_text()
    for name, amount in AMOUNT_OF.items():
        assert f"| `{name}` | {amount} |" in manual
    assert len(BEHAVIOURS) == len(AMOUNT_OF)


@pytest.mark.parametrize(
    ("name", "code"),
    [("decline", "card_declined"), ("insufficient_funds", "insufficient_funds")],
)
def test_who_is_to_be_declined_is_declined_at_the_checkout(
    simulator: Simulator, name: str, code: str
) -> None:
    created = simulator.create(AMOUNT_OF[name])
    httpx.post(created["checkout_url"], data={"outcome": "succeeded"})
    payment = simulator.fetch(created["id"])
    assert (payment["status"], payment["failure_code"]) == ("failed", code)


def test_refunds_and_payouts_are_declined_too(simulator: Simulator) -> None:
    payment = simulator.create(10_000)["id"]
    simulator.simulate(payment)
    amount = AMOUNT_OF["decline"]
    refund = post(simulator, "refunds", f"{payment}r", amount=amount, payment=payment).json()
    payout = post(simulator, "payouts", f"{payment}p", amount=amount, destination="IBAN").json()
    eventually(lambda: status_of(simulator, "refunds", refund["id"]) == "failed")
    eventually(lambda: status_of(simulator, "payouts", payout["id"]) == "failed")
    assert simulator.fetch(payment)["refunded_amount"] == 0


def test_a_refusal_makes_nothing(simulator: Simulator) -> None:
    for _ in range(2):
        answer = post(simulator, "payments", "refused", amount=AMOUNT_OF["refuse"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (402, "amount_refused")


def test_an_error_makes_nothing_and_the_retry_gets_on(simulator: Simulator) -> None:
    key = f"error{time.time()}"
    assert post(simulator, "payments", key, amount=AMOUNT_OF["error"]).status_code == 500
    assert post(simulator, "payments", key, amount=AMOUNT_OF["error"]).status_code == 201


@pytest.mark.parametrize("name", ["error_after", "cut", "die_unanswered"])
def test_what_was_done_without_an_answer_is_found_by_the_retry(
    simulator: Simulator, name: str
) -> None:
    key = f"{name}{time.time()}"
    try:
        assert post(simulator, "payments", key, amount=AMOUNT_OF[name]).status_code == 500
        assert name == "error_after"
    except httpx.TransportError:
        assert name != "error_after"
    if name == "die_unanswered":
        eventually(simulator.has_died)
        simulator.start()
    assert post(simulator, "payments", key, amount=AMOUNT_OF[name]).status_code == 200


def test_a_time_out_is_one(simulator: Simulator) -> None:
    key = f"timeout{time.time()}"
    fields = {"merchant_reference": key, "currency": "USD", "amount": AMOUNT_OF["timeout"]}
    headers = {"Authorization": f"Bearer {simulator.key}", "Idempotency-Key": key}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{simulator.url}/v1/payments", json=fields, headers=headers, timeout=0.5)
    assert post(simulator, "payments", key, amount=AMOUNT_OF["timeout"]).status_code == 200


def test_a_slow_answer_is_late(simulator: Simulator) -> None:
    began = time.monotonic()
    simulator.create(AMOUNT_OF["slow"])
    assert time.monotonic() - began > 1.5


def test_late_events_are_late(simulator: Simulator, receiver: Receiver) -> None:
    simulator.behave(webhook_url=receiver.url)
    began = time.time()
    payment = simulator.create(AMOUNT_OF["late_events"])["id"]
    eventually(lambda: receiver.about(payment))
    assert receiver.about(payment)[0].at - began > 4.5


def test_duplicates_are_the_same_event(simulator: Simulator, receiver: Receiver) -> None:
    simulator.behave(webhook_url=receiver.url)
    payment = simulator.create(AMOUNT_OF["duplicate"])["id"]
    eventually(lambda: len(receiver.about(payment)) == 3)
    assert len({told.body for told in receiver.about(payment)}) == 1


def test_shuffled_events_come_in_reverse_order(simulator: Simulator, receiver: Receiver) -> None:
    simulator.behave(webhook_url=receiver.url)
    payment = simulator.create(AMOUNT_OF["shuffle"])["id"]
    simulator.simulate(payment)
    eventually(lambda: len(receiver.about(payment)) == 3)
    assert receiver.types(payment) == [
        "payment.succeeded",
        "payment.processing",
        "payment.created",
    ]


def test_it_dies_between_its_answer_and_its_event(simulator: Simulator, receiver: Receiver) -> None:
    simulator.behave(webhook_url=receiver.url)
    payment = simulator.create(AMOUNT_OF["die"])["id"]
    eventually(lambda: receiver.types(payment) == ["payment.created"])
    assert simulator.simulate(payment).json()["status"] == "succeeded"
    eventually(simulator.has_died)
    assert receiver.types(payment) == ["payment.created"]
    simulator.start()
    eventually(lambda: "payment.succeeded" in receiver.types(payment))
    assert simulator.fetch(payment)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wrong_amount", {"amount": AMOUNT_OF["wrong_amount"] + 1, "currency": "USD"}),
        ("wrong_currency", {"amount": AMOUNT_OF["wrong_currency"], "currency": "EUR"}),
    ],
)
def test_a_wrong_word_is_told_by_event_and_api_alike(
    simulator: Simulator, name: str, told: dict[str, object]
) -> None:
    payment = simulator.create(AMOUNT_OF[name])
    assert (payment["amount"], payment["currency"]) == (AMOUNT_OF[name], "USD")
    simulator.simulate(payment["id"])
    for word in (simulator.fetch(payment["id"]), simulator.events(payment["id"])[-1]["data"]):
        assert {field: word[field] for field in told} == told


def test_events_may_never_come(simulator: Simulator, receiver: Receiver) -> None:
    simulator.behave(webhook_url=receiver.url)
    silent, told = simulator.create(AMOUNT_OF["no_events"])["id"], simulator.create()["id"]
    eventually(lambda: receiver.about(told))
    assert receiver.about(silent) == []
    assert simulator.events(silent)[0]["tries"] == 0


@pytest.mark.parametrize(
    ("name", "status"), [("succeed", "succeeded"), ("succeed_later", "processing")]
)
def test_a_payment_may_succeed_without_anybody(
    simulator: Simulator, name: str, status: str
) -> None:
    payment = simulator.create(AMOUNT_OF[name])["id"]
    confirmed = simulator.call("POST", f"/v1/payments/{payment}/confirm").json()
    assert confirmed["status"] == status
    eventually(lambda: simulator.fetch(payment)["status"] == "succeeded")


def test_an_old_signature_is_refused_and_the_retry_is_fresh(
    simulator: Simulator, receiver: Receiver
) -> None:
    receiver.statuses = [400]
    simulator.behave(webhook_url=receiver.url)
    payment = simulator.create(AMOUNT_OF["old_signature"])["id"]
    eventually(lambda: len(receiver.about(payment)) == 2)
    first, second = receiver.about(payment)
    with pytest.raises(InvalidMessage):
        verify([simulator.secret], first.headers, first.body)
    verify([simulator.secret], second.headers, second.body)


def test_the_report_may_be_wrong_in_each_way(simulator: Simulator) -> None:
    payments = {
        name: simulator.create(AMOUNT_OF[name])["id"]
        for name in ("report_missing", "report_differs", "report_extra")
    }
    for payment in payments.values():
        simulator.simulate(payment)
    rows = {row["reference"]: row["amount"] for row in report(simulator)}
    assert payments["report_missing"] not in rows
    assert rows[payments["report_differs"]] == AMOUNT_OF["report_differs"] + 1
    assert rows[payments["report_extra"]] == AMOUNT_OF["report_extra"]
    assert rows[payments["report_extra"] + "_extra"] == AMOUNT_OF["report_extra"]


def test_the_control_spoils_the_last_row_of_the_report(simulator: Simulator) -> None:
    payment = simulator.create()["id"]
    simulator.simulate(payment)
    whole = report(simulator)
    simulator.behave("report_missing")
    assert report(simulator) == whole[:-1]
    simulator.behave("report_differs")
    assert report(simulator)[-1]["amount"] == 5_001
    simulator.behave("report_extra")
    assert len(report(simulator)) == len(whole) + 1
    simulator.behave()
    assert report(simulator) == whole


def test_what_is_manual_waits(simulator: Simulator) -> None:
    simulator.behave("manual")
    key = f"manual{time.time()}"
    payout = post(simulator, "payouts", key, amount=1, destination="IBAN").json()["id"]
    path = f"/v1/payouts/{payout}/simulate"
    time.sleep(0.5)
    assert status_of(simulator, "payouts", payout) == "pending"
    for outcome, status in (("in_transit", 200), ("failed", 200), ("paid", 409)):
        assert simulator.call("POST", path, {"outcome": outcome}).status_code == status
    assert status_of(simulator, "payouts", payout) == "failed"


def test_a_key_misbehaves_for_its_own_calls_alone(simulator: Simulator) -> None:
    told = simulator.create(told="decline+duplicate")["id"]
    plain = simulator.create()["id"]
    for payment in (told, plain):
        simulator.simulate(payment)
    assert simulator.fetch(told)["status"] == "failed"
    assert simulator.fetch(plain)["status"] == "succeeded"
    for _ in range(2):
        assert simulator.call("GET", f"/v1/payments/{plain}", told="error").status_code == 500
    assert simulator.call("GET", f"/v1/payments/{plain}", told="rubbish").status_code == 400


def test_the_control_holds_for_everything_until_it_is_taken_back(simulator: Simulator) -> None:
    payment = simulator.create()["id"]
    simulator.behave("decline", "error")
    assert simulator.call("GET", f"/v1/payments/{payment}").status_code == 500
    simulator.restart()
    assert simulator.simulate(payment).json()["status"] == "failed"
    simulator.behave()
    assert simulator.fetch(payment)["status"] == "failed"


@pytest.mark.parametrize(
    "fields",
    [{"behaviours": ["rubbish"]}, {"behaviours": "decline"}, {"webhook_url": "file:///x"}, {"x": 1}]
    + [{"behaviours": [[]]}],
)
def test_the_control_refuses_what_it_does_not_know(
    simulator: Simulator, fields: dict[str, object]
) -> None:
    assert simulator.call("POST", "/v1/_behaviour", fields).status_code == 400


def test_other_currencies_have_the_same_amounts(simulator: Simulator) -> None:
    look: Callable[[str], str] = lambda payment: simulator.fetch(payment)["failure_code"]  # noqa: E731
    for currency in ("JPY", "KWD"):
        payment = simulator.create(AMOUNT_OF["decline"], currency)["id"]
        simulator.simulate(payment)
        assert look(payment) == "card_declined"


def report(simulator: Simulator) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = simulator.call(
        "GET", "/v1/settlement.json?from=2020-01-01&to=2999-12-31"
    ).json()["rows"]
    return rows
