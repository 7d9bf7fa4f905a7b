"""Many requests at the same moment, over HTTP's whole stack: nothing is lost, doubled or refused in vain.

Each of these was seen to fail with ``open_accounts()`` reading without a lock, except where the
database's own refusals stand in for it; then it answers 500 and the test fails all the same.
"""

import collections
import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from transactions.models import LedgerEntry, Transaction
from transactions.services import transfer_many
from transactions.services.grouping import PostingGroup
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from users import services as users
from users.models import User
from users.tests.factories import api_client, at_once
from wallet.services import freeze_wallet

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True, params=["in-groups", "apart"])
def posting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process transfers take turns by grouping; apart they race as those of many processes do."""
    if request.param == "apart":
        monkeypatch.setattr(PostingGroup, "post", lambda _, asked: transfer_many([asked])[0])


TRANSFER = "/api/transactions/transactions/transfer/"


def send(client: Any, payee: User, amount: str, key: str | None = None) -> Any:
    """Ask, and ask again with the same key where the answer says to: on a slow machine many sessions that
    make their first plans one after the other hold a wallet for longer than one waits for it."""
    body = {"to_user_email": payee.email, "amount": amount}
    body["idempotency_key"] = key or uuid.uuid4().hex
    for _ in range(5):
        response = client.post(TRANSFER, body, format="json")
        if response.status_code != 409 or response.json()["code"] != "request_in_progress":
            break
    return response


def statuses(responses: list[Any]) -> dict[int, int]:
    return dict(collections.Counter(response.status_code for response in responses))


@pytest.mark.smoke
def test_of_15_spends_of_a_fifth_exactly_5_succeed() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    clients = [api_client(payer) for _ in range(15)]
    responses = at_once(15, lambda index: send(clients[index], payee, "20.00"))
    assert statuses(responses) == {201: 5, 422: 10}
    assert (balance_of(payer), balance_of(payee)) == ("0.00", "100.00")


def test_of_12_spends_to_as_many_payees_exactly_4_succeed() -> None:
    payer, payees = make_payer("100.00"), [make_payee() for _ in range(12)]
    clients = [api_client(payer) for _ in payees]
    responses = at_once(12, lambda index: send(clients[index], payees[index], "25.00"))
    assert statuses(responses) == {201: 4, 422: 8}
    assert balance_of(payer) == "0.00"


@pytest.mark.parametrize("count", [12, 32])
def test_one_key_posted_many_times_at_once_has_one_effect(count: int) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    clients = [api_client(payer) for _ in range(count)]
    responses = at_once(count, lambda index: send(clients[index], payee, "10.00", "one-key"))
    told = {response.content for response in responses if response.status_code == 201}
    assert len(told) == 1
    assert set(statuses(responses)) <= {201, 409}
    assert Transaction.objects.filter(initiated_by=payer).count() == 1
    assert balance_of(payer) == "90.00"


def test_a_key_that_cannot_be_funded_is_refused_to_everybody_alike() -> None:
    payer, payee = make_payer("1.00"), make_payee()
    clients = [api_client(payer) for _ in range(32)]
    responses = at_once(32, lambda index: send(clients[index], payee, "10.00", "one-key"))
    assert statuses(responses) == {422: 32}
    assert len({response.content for response in responses}) == 1
    assert Transaction.objects.filter(initiated_by=payer).count() == 1


def test_one_key_for_two_requests_at_once_serves_one_of_them() -> None:
    payer, first, second = make_payer("100.00"), make_payee(), make_payee()
    clients = [api_client(payer) for _ in range(8)]
    payees = [first, second] * 4
    responses = at_once(8, lambda i: send(clients[i], payees[i], "10.00", "one-key"))
    assert statuses(responses) == {201: 4, 422: 4}
    assert balance_of(payer) == "90.00"


def test_crossing_transfers_in_8_threads_all_succeed() -> None:
    users_ = [make_payer("1000.00") for _ in range(4)]
    clients = [[api_client(user) for user in users_] for _ in range(8)]

    def work(thread: int) -> list[int]:
        chance = random.Random(thread)
        told = []
        for _ in range(15):
            source, target = chance.sample(range(4), 2)
            amount = f"{chance.randint(1, 500) / 100:.2f}"
            told.append(send(clients[thread][source], users_[target], amount).status_code)
        return told

    told = [status for result in at_once(8, work) for status in result]
    assert set(told) == {201}
    total = sum(wallet_of(user).balance for user in users_)
    assert total == Decimal("4000.00")


def test_a_hundred_cents_are_spent_by_exactly_a_hundred() -> None:
    payer, payee = make_payer("1.00"), make_payee()
    clients = [api_client(payer) for _ in range(8)]
    results = at_once(
        8, lambda thread: [send(clients[thread], payee, "0.01").status_code for _ in range(25)]
    )
    told = collections.Counter(status for result in results for status in result)
    assert told == {201: 100, 422: 100}
    assert (balance_of(payer), balance_of(payee)) == ("0.00", "1.00")


def test_many_payers_of_one_payee_all_succeed() -> None:
    payers, payee = [make_payer("5.00") for _ in range(24)], make_payee()
    clients = [api_client(payer) for payer in payers]
    responses = at_once(24, lambda index: send(clients[index], payee, "5.00"))
    assert statuses(responses) == {201: 24}
    assert balance_of(payee) == "120.00"
    sequences = LedgerEntry.objects.filter(wallet__user=payee).values_list("sequence", flat=True)
    assert sorted(sequences) == list(range(1, 25))


LIMITS = {
    tier: {
        "USD": {
            "per_transfer": "1000",
            "per_day": "1000",
            "per_month": "1000000",
            "largest_balance": "1000000",
        }
    }
    for tier in (0, 1, 2)
}


def test_ten_parallel_200s_under_a_daily_limit_of_1000_pass_exactly_five() -> None:
    payer, payee = make_payer("10000.00"), make_payee()
    clients = [api_client(payer) for _ in range(10)]
    with override_settings(LIMITS=LIMITS):
        responses = at_once(10, lambda index: send(clients[index], payee, "200.00"))
    assert statuses(responses) == {201: 5, 422: 5}
    assert balance_of(payee) == "1000.00"


def race_transfers_against(change: Callable[[User], object], refusal: int) -> None:
    """Four clients send while the payer's standing changes; nothing is posted after the change."""
    payer, payee = make_payer("100.00"), make_payee()
    clients = [api_client(payer) for _ in range(4)]
    told: list[int] = []
    at_change: list[int] = []

    def act(index: int) -> None:
        if index == 4:
            change(payer)
            at_change.append(wallet_of(payer).last_sequence)
            return
        for _ in range(4):
            told.append(send(clients[index], payee, "1.00").status_code)  # noqa: PERF401

    at_once(5, act)
    assert at_change == [wallet_of(payer).last_sequence]
    assert set(told) <= {201, refusal}


@pytest.mark.parametrize("_", range(10))
def test_after_a_freeze_has_committed_nothing_moves(_: int) -> None:
    operator = make_payee()
    race_transfers_against(
        lambda payer: freeze_wallet(
            wallet_id=wallet_of(payer).pk, acting_user=operator, reason="race"
        ),
        422,
    )


@pytest.mark.parametrize("_", range(10))
def test_after_a_deactivation_has_committed_nothing_moves(_: int) -> None:
    operator = User.objects.create_superuser(f"{uuid.uuid4().hex}@example.com")
    race_transfers_against(
        lambda payer: users.deactivate_user(user_id=payer.pk, acting_user=operator), 401
    )


def test_a_new_balance_is_read_right_after_the_answer() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client = api_client(payer)
    for number in range(1, 21):
        told = send(client, payee, "1.00").json()["balance_after"]
        assert client.get("/api/wallet/").json()["balance"] == told == f"{100 - number}.00"
