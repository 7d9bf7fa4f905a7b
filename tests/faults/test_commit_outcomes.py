"""What the caller is told when the database goes away around a commit: never that nothing happened when
something may have."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

from fintech_core import calls
from fintech_core.database import exactly_once
from fintech_core.exceptions import (
    OutcomeUnknown,
    RequestInProgress,
    ServiceUnavailable,
    TookTooLong,
)
from transactions import ledger, services
from transactions.models import Transaction
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer, wallet_of
from users.models import User
from wallet.locks import lock_wallets
from wallet.models import Wallet, WalletStatus
from wallet.services import InvalidWalletState, open_wallet

_WRAPPER: Any = BaseDatabaseWrapper

pytestmark = pytest.mark.usefixtures("committed")


Commit = Callable[..., None]


@contextmanager
def commits_go(
    monkeypatch: pytest.MonkeyPatch, through: Callable[[Callable[[], None]], None]
) -> Iterator[None]:
    """``through`` gets each commit, whether it is sent with the ledger's last call or alone."""

    def around(commit: Commit) -> Commit:
        def wrapped(*arguments: Any) -> None:
            if connection.connection.pgconn.transaction_status == TransactionStatus.IDLE:
                commit(*arguments)  # It was sent before; Django does not know.
            else:
                through(partial(commit, *arguments))

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(_WRAPPER, "_commit", around(_WRAPPER._commit))
        patch.setattr(ledger, "call_and_commit", around(calls.call_and_commit))
        yield


def break_connection() -> None:
    connection.connection.close()
    raise OperationalError("the connection broke")


@contextmanager
def commits(monkeypatch: pytest.MonkeyPatch, *, lands: bool, failures: int) -> Iterator[None]:
    """The next commits break the connection, after they landed or before."""
    left = failures

    def broken(commit: Callable[[], None]) -> None:
        nonlocal left
        if left == 0:
            commit()
            return
        left -= 1
        if lands:
            commit()
        break_connection()

    with commits_go(monkeypatch, broken):
        yield


@pytest.mark.parametrize("lands", [True, False])
def test_a_commit_whose_answer_was_lost_is_settled_by_its_key(
    monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    instruction = instruct(payer, payee, "7.00")
    with commits(monkeypatch, lands=lands, failures=1):
        outcome = services.transfer(instruction)
    assert outcome.transaction.status == "posted"
    assert balance_of(payer) == "3.00"
    assert Transaction.objects.filter(initiated_by=payer).count() == 1


def test_an_outcome_that_cannot_be_learnt_is_said_to_be_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    instruction = instruct(payer, payee, "7.00")
    with (
        commits(monkeypatch, lands=True, failures=9),
        pytest.raises(OutcomeUnknown),
    ):
        services.transfer(instruction)
    assert services.transfer(instruction).is_replay
    assert balance_of(payer) == "3.00"


def test_a_wallet_whose_opening_was_not_heard_of_is_opened_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = make_payee()
    with commits(monkeypatch, lands=True, failures=1):
        opened = open_wallet(owner=user, currency="USD", name="rent")
    pots = Wallet.objects.filter(owner=user, name="rent")
    assert [wallet.pk for wallet in pots] == [opened.pk]


def test_a_wallet_whose_closing_was_not_heard_of_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = make_payee()
    pot = open_wallet(owner=user, currency="USD", name="rent")
    with commits(monkeypatch, lands=True, failures=1):
        closed = services.close_wallet(wallet_id=pot.pk, owner_id=user.pk)
    assert closed.status == WalletStatus.CLOSED
    with pytest.raises(InvalidWalletState):
        services.close_wallet(wallet_id=pot.pk, owner_id=user.pk)


def test_what_took_too_long_is_told_as_not_done_and_not_tried_again() -> None:
    runs = []

    def work() -> None:
        runs.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 50")
            cursor.execute("SELECT pg_sleep(2)")

    with pytest.raises(TookTooLong):
        exactly_once(work)
    assert runs == [1]


class Holder(threading.Thread):
    """Another session that holds the payer's wallet."""

    def __init__(self, payer: User) -> None:
        super().__init__(daemon=True)
        self._wallet_id = wallet_of(payer).pk
        self._locked, self._done = threading.Event(), threading.Event()

    def run(self) -> None:
        with transaction.atomic():
            lock_wallets([self._wallet_id])
            self._locked.set()
            self._done.wait(10)
        connection.close()

    def take(self) -> None:
        self.start()
        assert self._locked.wait(10)

    def let_go(self) -> None:
        self._done.set()
        self.join()


def test_a_lock_that_keeps_the_outcome_from_being_learnt_is_no_conflict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A 409 would say that nothing happened; here a commit was sent, and somebody holds the wallet."""
    payer, payee = make_payer("10.00"), make_payee()
    instruction = instruct(payer, payee, "7.00")
    holder = Holder(payer)
    broken = False

    def commit_then_lose_to_a_holder(commit: Callable[[], None]) -> None:
        nonlocal broken
        commit()
        if not broken and threading.current_thread() is not holder:
            broken = True
            holder.take()
            break_connection()

    with (
        commits_go(monkeypatch, commit_then_lose_to_a_holder),
        pytest.raises(OutcomeUnknown),
    ):
        services.transfer(instruction)
    holder.let_go()
    assert services.transfer(instruction).is_replay


def test_a_foreign_lock_is_a_conflict_within_its_bound() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    instruction = instruct(payer, payee, "7.00")
    holder = Holder(payer)
    holder.take()
    with pytest.raises(RequestInProgress):
        services.transfer(instruction)
    holder.let_go()
    assert not services.transfer(instruction).is_replay


def test_a_database_that_ends_our_waiting_session_is_tried_again() -> None:
    """The server ends a session that waits in a transaction: 25P03, an internal error to psycopg."""
    runs = []

    def work() -> int:
        runs.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 50")
            if len(runs) == 1:
                threading.Event().wait(0.3)
            cursor.execute("SELECT 1")
        return len(runs)

    assert exactly_once(work) == 2


def test_a_database_that_stays_away_before_the_commit_did_nothing() -> None:
    from fintech_core.database import exactly_once

    def work() -> None:
        raise OperationalError("the connection broke")

    with pytest.raises(ServiceUnavailable):
        exactly_once(work)
