"""A process is killed around the commit of a transfer: the same key, sent again, makes one of it."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from fintech_core import calls
from fintech_core.calls import Trip
from transactions import ledger, services
from transactions.instructions import TransferInstruction
from transactions.models import Transaction
from transactions.services import posting_group
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer

Dying = Callable[[pytest.MonkeyPatch], None]

pytestmark = pytest.mark.usefixtures("committed")


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger, "call_and_commit", _die)


def _die_before_the_answer(patch: pytest.MonkeyPatch) -> None:
    """All is sent, and PostgreSQL is left with it."""
    execute = Trip.execute

    def sent(trip: Trip, text: bytes) -> None:
        execute(trip, text)
        if text == b"COMMIT":
            trip._pgconn.pipeline_sync()
            trip._pgconn.flush()
            _die()

    patch.setattr(Trip, "execute", sent)


def _die_after(patch: pytest.MonkeyPatch) -> None:
    commit = calls.call_and_commit

    def wrapped(function: str, *arguments: Any) -> None:
        commit(function, *arguments)
        _die()

    patch.setattr(ledger, "call_and_commit", wrapped)


def post_and_die(asked: TransferInstruction, dying: Dying) -> int:
    """Post in a process of its own that is killed around the commit; returns how it ended."""
    child = os.fork()
    if not child:
        try:
            connection.connection = None  # As after any fork: the parent's is the parent's.
            dying(pytest.MonkeyPatch())
            services.transfer(asked)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    ("dying", "left"), [(_die_before, {0}), (_die_before_the_answer, {0, 1}), (_die_after, {1})]
)
def test_a_process_killed_around_the_commit_leaves_no_key_stuck(
    dying: Dying, left: set[int]
) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    asked = instruct(payer, payee, "3.00")
    posting_group.close()
    assert post_and_die(asked, dying) == -signal.SIGKILL
    retried = services.transfer(asked)
    assert (int(retried.is_replay) in left, retried.transaction.status) == (True, "posted")
    assert Transaction.objects.filter(initiated_by=payer).count() == 1
    assert (balance_of(payer), balance_of(payee)) == ("7.00", "3.00")
