"""A process is killed around the commit of a transfer: the same key, sent again, makes one of it."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from transactions import services
from transactions.instructions import TransferInstruction
from transactions.models import Transaction
from transactions.services import posting_group
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer

pytestmark = pytest.mark.usefixtures("committed")


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_before(commit: Callable[[Any], None]) -> Callable[[Any], None]:
    return _die


def _die_after(commit: Callable[[Any], None]) -> Callable[[Any], None]:
    def wrapped(self: Any) -> None:
        commit(self)
        _die()

    return wrapped


def post_and_die(
    asked: TransferInstruction, around: Callable[[Callable[[Any], None]], Callable[[Any], None]]
) -> int:
    """Post in a process of its own that is killed around the commit; returns how it ended."""
    child = os.fork()
    if not child:
        try:
            connection.connection = None  # As after any fork: the parent's is the parent's.
            wrapper: Any = BaseDatabaseWrapper
            wrapper._commit = around(wrapper._commit)
            services.transfer(asked)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(("around", "left"), [(_die_before, 0), (_die_after, 1)])
def test_a_process_killed_around_the_commit_leaves_no_key_stuck(
    around: Callable[[Callable[[Any], None]], Callable[[Any], None]], left: int
) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    asked = instruct(payer, payee, "3.00")
    posting_group.close()
    assert post_and_die(asked, around) == -signal.SIGKILL
    assert Transaction.objects.filter(initiated_by=payer).count() == left
    retried = services.transfer(asked)
    assert (retried.is_replay, retried.transaction.status) == (bool(left), "posted")
    assert Transaction.objects.filter(initiated_by=payer).count() == 1
    assert (balance_of(payer), balance_of(payee)) == ("7.00", "3.00")
