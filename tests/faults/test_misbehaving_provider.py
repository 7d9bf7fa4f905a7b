"""The simulated provider misbehaves in every way it knows, all at once, beside the whole platform.

Whoever pays repeats what was not answered, as a browser or an app would. Then every payment has ended as
its provider meant it, and the wallet has exactly what was paid.
"""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal

import pytest

from simulator.behaviour import AMOUNTS
from tests.faults.platform import DEMO_USER, Platform, new_key, running_platform, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

INTENTS = "/api/payments/intents/"
# How a payment ends that its customer paid; by default it succeeds.
ENDS = {
    "decline": "failed",
    "insufficient_funds": "failed",
    # Flagged for an operator: another amount or currency than was asked for is no payment of it.
    "wrong_amount": "requires_confirmation processing",
    "wrong_currency": "requires_confirmation processing",
}
# Nothing is announced, or nobody has paid.
OTHERS = {"refuse", "no_events", "manual", "report_missing", "report_differs", "report_extra"}


class NotFollowing(urllib.request.HTTPRedirectHandler):
    """The page after the payment is of no concern."""

    def redirect_request(self, *_: object) -> None:
        return None


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with running_platform() as started:
        yield started


def announce(platform: Platform, token: str, amount: str) -> dict[str, str]:
    """An intent, asked for until there is an answer."""
    body = {"amount": amount, "idempotency_key": new_key()}
    made: list[dict[str, str]] = []

    def ask() -> bool:
        answer = platform.call("POST", INTENTS, body, token)
        made.append(answer.body)
        return answer.status == 201

    until(ask, 90)
    return made[-1]


def pay(platform: Platform, intent: dict[str, str]) -> None:
    """Click Pay until the page has taken it."""

    def click() -> bool:
        request = urllib.request.Request(intent["checkout_url"], b"outcome=succeeded")
        with suppress(OSError):
            try:
                urllib.request.build_opener(NotFollowing).open(request, timeout=10)
            except urllib.error.HTTPError as error:
                return error.code == 303
        return False

    until(click, 60)


def status_of(platform: Platform, token: str, intent: dict[str, str]) -> str:
    return str(platform.call("GET", f"{INTENTS}{intent['id']}/", token=token).body.get("status"))


def is_flagged(platform: Platform, intent: str) -> bool:
    """Whether an operator is shown that something is wrong with an intent."""
    query = f"PaymentIssue.objects.filter(subject_id={intent!r}).count()"
    text = f"from payments.models import PaymentIssue; print('issues', {query})"
    return "issues 1" in platform.manage("shell", "--no-imports", "-c", text)


def test_every_payment_ends_as_it_was_meant_and_money_comes_once(platform: Platform) -> None:
    token = platform.sign_in()
    before = Decimal(platform.balance(DEMO_USER))
    cases = {name: f"{Decimal(a) / 100:.2f}" for a, name in AMOUNTS.items() if name not in OTHERS}

    def go(name: str) -> tuple[str, dict[str, str]]:
        intent = announce(platform, token, cases[name])
        pay(platform, intent)
        return name, intent

    with ThreadPoolExecutor(6) as pool:
        paid = dict(pool.map(go, cases))
    for name, intent in paid.items():
        expected = ENDS.get(name, "succeeded").split()
        until(lambda i=intent, e=expected: status_of(platform, token, i) in e, 60)  # type: ignore[misc]
    for name in ("wrong_amount", "wrong_currency"):
        until(lambda i=paid[name]["id"]: is_flagged(platform, i), 60)  # type: ignore[misc]
    credited = sum(Decimal(amount) for name, amount in cases.items() if name not in ENDS)
    assert Decimal(platform.balance(DEMO_USER)) == before + credited
    assert platform.manage("ledger_verify", "--full").strip().endswith("agree.")


def test_what_nobody_announces_is_found_by_a_look(platform: Platform) -> None:
    token = platform.sign_in()
    before = Decimal(platform.balance(DEMO_USER))
    [amount] = [f"{Decimal(a) / 100:.2f}" for a, name in AMOUNTS.items() if name == "no_events"]
    intent = announce(platform, token, amount)
    pay(platform, intent)
    for _ in range(2):
        answer = platform.call("POST", f"{INTENTS}{intent['id']}/refresh/", {}, token)
        assert (answer.status, answer.body["status"]) == (200, "succeeded")
    assert Decimal(platform.balance(DEMO_USER)) == before + Decimal(amount)


def test_a_refusal_is_told_and_moves_nothing(platform: Platform) -> None:
    token = platform.sign_in()
    before = platform.balance(DEMO_USER)
    [amount] = [f"{Decimal(a) / 100:.2f}" for a, name in AMOUNTS.items() if name == "refuse"]
    body = {"amount": amount, "idempotency_key": new_key()}
    answer = platform.call("POST", INTENTS, body, token)
    assert answer.status < 500
    assert answer.body.get("status") != "succeeded"
    assert platform.balance(DEMO_USER) == before
