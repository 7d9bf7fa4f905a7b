"""Group posting: one commit for many callers, each with an outcome of its own."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence

import psycopg
import pytest
from django.db import DataError, connection, transaction

from fintech_core.exceptions import OutcomeUnknown, RequestInProgress, ServiceUnavailable
from transactions import services
from transactions.declines import RecipientNotFound
from transactions.instructions import Outcome, Recipient, TransferInstruction
from transactions.services import grouping
from transactions.services.grouping import PostingGroup, Result
from transactions.services.transfers import post_group, transfer_many
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer, wallet_of
from users.tests.factories import at_once
from wallet.locks import lock_wallets

pytestmark = pytest.mark.usefixtures("committed")


class Watched:
    """A group that posts for real, tells who posted with whom, and may be held up or made to fail."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.alone: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fail: Callable[[Sequence[TransferInstruction]], None] = lambda _: None
        self.group = PostingGroup(together=self._together, alone=self._alone)

    def _together(self, instructions: Sequence[TransferInstruction]) -> list[Result]:
        self.groups.append(len(instructions))
        self.gate.wait(10)
        self.fail(instructions)
        return post_group(instructions)

    def _alone(self, instructions: Sequence[TransferInstruction]) -> list[Result]:
        self.alone.append(len(instructions))
        self.fail(instructions)
        return transfer_many(instructions)

    def post_while_held(self, instructions: Sequence[TransferInstruction]) -> list[object]:
        """Hold the first one up until all others wait, then let them go: they make one group."""
        self.gate.clear()
        results: list[object] = [None] * len(instructions)

        def run(index: int) -> None:
            try:
                results[index] = self.group.post(instructions[index])
            except Exception as error:
                results[index] = error
            finally:
                connection.close()

        threads = [threading.Thread(target=run, args=(n,)) for n in range(len(instructions))]
        threads[0].start()
        wait_until(lambda: self.groups == [1])
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: len(self.group._waiting) == len(instructions) - 1)
        self.gate.set()
        for thread in threads:
            thread.join(20)
        self.group.close()
        return results


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def test_those_who_wait_share_one_commit_and_each_is_told_its_own() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    nobody = Recipient(email="nobody@example.com")
    asked = [
        instruct(payer, payee, "1.00"),
        instruct(payer, payee, "2.00"),
        instruct(payer, payee, "100.00"),
        instruct(payer, payee, "1.00", recipient=nobody),
        instruct(payer, payee, "3.00"),
    ]
    watched = Watched()
    results = watched.post_while_held(asked)
    assert watched.groups == [1, 4]
    told = [r.transaction.decline_code if isinstance(r, Outcome) else type(r) for r in results]
    assert told == ["", "", "insufficient_funds", RecipientNotFound, ""]
    assert (balance_of(payer), balance_of(payee)) == ("4.00", "6.00")


def test_one_key_asked_for_by_many_at_once_has_one_effect() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    asked = [instruct(payer, payee, "1.00", idempotency_key="same")] * 8
    results = Watched().post_while_held(asked)
    assert [r.is_replay for r in results if isinstance(r, Outcome)].count(False) == 1
    assert len({r.transaction.id for r in results if isinstance(r, Outcome)}) == 1
    assert balance_of(payer) == "9.00"


def test_a_transfer_that_postgresql_refuses_fails_alone() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    bad = instruct(payer, payee, "1.00", description="\x00")
    asked = [instruct(payer, payee, "1.00"), bad, instruct(payer, payee, "2.00")]
    watched = Watched()
    results = watched.post_while_held(asked)
    assert watched.groups == [1, 2], "the bad one was in a group"
    assert isinstance(results[1], DataError)
    assert isinstance(results[2], Outcome)
    assert (balance_of(payer), balance_of(payee)) == ("7.00", "3.00")


def test_a_bug_in_one_decision_fails_nobody_else() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    asked = [instruct(payer, payee, f"{n}.00") for n in (1, 2, 3)]
    watched = Watched()

    def stumble(instructions: Sequence[TransferInstruction]) -> None:
        if any(i.amount == "2.00" for i in instructions):
            raise KeyError("a bug")

    watched.fail = stumble
    results = watched.post_while_held(asked)
    assert [type(r) for r in results] == [Outcome, KeyError, Outcome]
    assert balance_of(payer) == "6.00"


def test_a_wallet_locked_by_somebody_else_stalls_only_those_who_need_it(
    owner: psycopg.Connection,
) -> None:
    payers = [make_payer("10.00") for _ in range(3)]
    payee, other, locked = make_payee(), make_payee(), make_payer("10.00")
    owner.execute("SELECT 1 FROM wallet_wallet WHERE id = %s FOR UPDATE", [locked.wallet.pk])
    asked = [instruct(payer, payee, "1.00") for payer in payers]
    asked.insert(1, instruct(locked, other, "1.00"))
    began = time.monotonic()
    took: dict[int, float] = {}
    watched = Watched()
    original = watched.group.post

    def timed(instruction: TransferInstruction) -> Result:
        try:
            return original(instruction)
        finally:
            took[asked.index(instruction)] = time.monotonic() - began

    watched.group.post = timed  # type: ignore[method-assign]
    results = watched.post_while_held(asked)
    assert isinstance(results[1], RequestInProgress)
    assert [type(results[n]) for n in (0, 2, 3)] == [Outcome] * 3
    assert max(took[n] for n in (0, 2, 3)) < 1.5 < took[1]


@pytest.mark.parametrize("error", [ServiceUnavailable, OutcomeUnknown])
def test_what_befalls_the_database_is_told_to_everybody(error: type[Exception]) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    asked = [instruct(payer, payee, "1.00") for _ in range(3)]
    watched = Watched()

    def fail(instructions: Sequence[TransferInstruction]) -> None:
        if len(instructions) > 1:
            raise error

    watched.fail = fail
    results = watched.post_while_held(asked)
    assert [type(r) for r in results] == [Outcome, error, error]
    assert watched.alone == []


def test_a_group_has_an_upper_bound_and_the_rest_come_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "LARGEST_GROUP", 4)
    payer, payee = make_payer("10.00"), make_payee()
    watched = Watched()
    watched.post_while_held([instruct(payer, payee, "1.00") for _ in range(10)])
    assert (sum(watched.groups), max(watched.groups)) == (10, 4)
    assert balance_of(payer) == "0.00"


def test_who_waits_too_long_is_told_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "WAIT_SECONDS", 0.2)
    payer, payee = make_payer("10.00"), make_payee()
    watched = Watched()
    watched.gate.clear()
    first = threading.Thread(target=lambda: watched.group.post(instruct(payer, payee, "1.00")))
    first.start()
    wait_until(lambda: watched.groups == [1])
    assert isinstance(watched.group.post(instruct(payer, payee, "2.00")), ServiceUnavailable)
    watched.gate.set()
    first.join(10)
    assert isinstance(watched.group.post(instruct(payer, payee, "3.00")), Outcome)
    assert balance_of(payer) == "6.00"
    watched.group.close()


def test_a_transfer_inside_an_open_transaction_is_refused() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    with pytest.raises(RuntimeError), transaction.atomic():
        services.transfer(instruct(payer, payee, "1.00"))
    assert balance_of(payer) == "10.00"


def test_a_forked_process_posts_on_a_connection_of_its_own() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    services.transfer(instruct(payer, payee, "1.00"))
    asked = instruct(payer, payee, "2.00")
    child = os.fork()
    if not child:
        status = 1
        try:
            connection.connection = None  # As after any fork: the parent's is the parent's.
            services.transfer(asked)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    services.transfer(instruct(payer, payee, "3.00"))
    assert balance_of(payer) == "4.00"


def test_a_lost_connection_is_opened_again() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    services.transfer(instruct(payer, payee, "1.00"))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    services.transfer(instruct(payer, payee, "2.00"))
    assert balance_of(payer) == "7.00"


def test_many_callers_at_once_all_get_through() -> None:
    payers, payee = [make_payer("10.00") for _ in range(8)], make_payee()
    asked = [
        instruct(payers[n % 8], payee, "0.10", idempotency_key=uuid.uuid4().hex) for n in range(64)
    ]
    outcomes = at_once(64, lambda index: services.transfer(asked[index]))
    assert {outcome.transaction.status for outcome in outcomes} == {"posted"}
    assert balance_of(payee) == "6.40"


def test_a_lone_caller_who_waits_for_a_foreign_lock_lets_the_others_go_on() -> None:
    """It gives up the group's turn after a moment, and waits for as long as one may by itself."""
    payer, other, payee = make_payer("10.00"), make_payer("10.00"), make_payee()
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            lock_wallets([wallet_of(payer).pk])
            locked.set()
            done.wait(10)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(10)
    watched, results = Watched(), []

    def post() -> None:
        results.append(watched.group.post(instruct(payer, payee, "1.00")))
        connection.close()

    waiting = threading.Thread(target=post)
    waiting.start()
    wait_until(lambda: watched.alone == [1])
    outcome = watched.group.post(instruct(other, make_payee(), "1.00"))
    assert (type(outcome), results) == (Outcome, [])
    done.set()
    for thread in (holder, waiting):
        thread.join(10)
    assert [type(result) for result in results] == [Outcome]
    watched.group.close()
