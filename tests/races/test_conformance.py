"""The workloads that third parties measure ledgers by (docs/invariants.md), as our own tests.

What ``test_transfers`` does over HTTP with fewer is done here by the hundred, in the service. That a key
which cannot be funded is refused to 32 callers alike stands there.
"""

import collections
import itertools
import random
from decimal import Decimal
from typing import Any

import pytest

from transactions import services
from transactions.instructions import Outcome
from transactions.models import LedgerEntry, Transaction
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import api_client, at_once

pytestmark = pytest.mark.usefixtures("committed")

HISTORY = "/api/wallet/wallets/{}/entries/?page_size=200"


def send(payer: User, payee: User, amount: str, **overrides: Any) -> Outcome:
    return services.transfer(instruct(payer, payee, amount, **overrides))


def among(people: list[User], count: int, threads: int) -> list[str]:
    """So many transfers between them, at random, in so many threads; what each was told."""

    def work(thread: int) -> list[str]:
        chance = random.Random(thread)
        told = []
        for _ in range(count // threads):
            payer, payee = chance.sample(people, 2)
            outcome = send(payer, payee, f"{chance.randint(1, 200) / 100:.2f}")
            told.append(outcome.transaction.decline_code or outcome.transaction.status)
        return told

    return [word for told in at_once(threads, work) for word in told]


def entries_of(user: User) -> list[LedgerEntry]:
    return list(LedgerEntry.objects.filter(wallet=wallet_of(user)).order_by("id"))


def test_64_posts_of_one_key_have_one_effect() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    outcomes = at_once(64, lambda _: send(payer, payee, "10.00", idempotency_key="one-key"))
    assert len({outcome.transaction.id for outcome in outcomes}) == 1
    assert sum(not outcome.is_replay for outcome in outcomes) == 1
    assert (balance_of(payer), balance_of(payee)) == ("90.00", "10.00")


def test_500_credits_of_one_account_are_all_there() -> None:
    payers, payee = [make_payer("50.00") for _ in range(10)], make_payee()
    at_once(500, lambda index: send(payers[index % 10], payee, "0.37"))
    assert balance_of(payee) == "185.00"
    assert {balance_of(payer) for payer in payers} == {"31.50"}


def test_400_transfers_over_8_accounts_leave_the_total() -> None:
    people = [make_payer("100.00") for _ in range(8)]
    told = collections.Counter(among(people, 400, threads=8))
    assert set(told) <= {"posted", "insufficient_funds"}
    assert told.total() == 400
    assert sum(wallet_of(user).balance for user in people) == Decimal("800.00")
    assert all(wallet_of(user).balance >= 0 for user in people)


def test_after_200_transfers_what_is_read_is_what_the_entries_say() -> None:
    people = [make_payer("200.00") for _ in range(2)]
    among(people, 200, threads=4)
    for user in people:
        wallet, client = wallet_of(user), api_client(user)
        told, address = [], HISTORY.format(wallet.pk)
        while address:
            page = client.get(address).json()
            told += page["results"]
            address = page["next"]
        assert [row["sequence"] for row in told] == list(range(201, 0, -1))
        read = client.get("/api/wallet/").json()["balance"]
        assert read == told[0]["balance_after"] == balance_of(user)
        assert sum(Decimal(row["amount"]) for row in told) == Decimal(read)


def test_of_20_withdrawals_of_a_tenth_exactly_10_succeed() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    told = at_once(20, lambda _: send(payer, payee, "10.00").transaction.status)
    assert collections.Counter(told) == {"posted": 10, "declined": 10}
    assert (balance_of(payer), balance_of(payee)) == ("0.00", "100.00")


def test_1000_transfers_of_a_cent_make_ten_dollars() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    at_once(8, lambda _: [send(payer, payee, "0.01") for _ in range(125)])
    assert (balance_of(payer), balance_of(payee)) == ("0.00", "10.00")
    assert send(payer, payee, "0.01").transaction.decline_code == "insufficient_funds"


def test_after_300_transfers_the_entries_alone_make_the_balances() -> None:
    people = [make_payer("100.00") for _ in range(4)]
    among(people, 300, threads=6)
    for user in people:
        rebuilt = Decimal(0)
        for entry in entries_of(user):
            rebuilt += entry.amount
            assert entry.balance_after == rebuilt
        assert rebuilt == wallet_of(user).balance
    moved = [entry.transaction_id for user in people for entry in entries_of(user)]
    posted = Transaction.objects.filter(pk__in=moved, kind="transfer")
    assert set(collections.Counter(moved).values()) == {1, 2}, "a deposit's other side is not here"
    assert posted.count() == sum(count == 2 for count in collections.Counter(moved).values())


def test_150_transfers_are_numbered_without_a_gap_in_the_order_they_were_made() -> None:
    people = [make_payer("100.00") for _ in range(3)]
    among(people, 150, threads=5)
    for user in people:
        entries = entries_of(user)
        assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
        for before, after in itertools.pairwise(entries):
            assert bytes(after.previous_hash) == bytes(before.hash)
            assert after.created_at >= before.created_at
