"""Group posting: transfers that are asked for at the same time share one commit.

A caller that finds nobody posting posts at once; those who come meanwhile wait, and the first of them
then posts for all of them. So nobody waits for a group to fill, and the more callers there are, the more
share the cost of a commit. Where several were just answered together the next lets them come back first,
else it would post alone and they behind it. Each caller gets its own outcome: one that cannot be posted
together with the others is posted alone.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence

from django.db import connection

from fintech_core.database import SharedConnection
from fintech_core.exceptions import (
    DomainError,
    OutcomeUnknown,
    ServiceUnavailable,
    TookTooLong,
)
from fintech_core.lulls import Lull
from transactions.instructions import Outcome, TransferInstruction

Result = Outcome | DomainError
PostMany = Callable[[Sequence[TransferInstruction]], list[Result]]

# The most that share a commit, and how long one waits for an answer that is on its way.
LARGEST_GROUP = 256
WAIT_SECONDS = 30.0


class _Ticket:
    """One caller in the queue; it sleeps until it is called."""

    __slots__ = ("_bell", "instruction", "leads", "result")

    def __init__(self, instruction: TransferInstruction) -> None:
        self.instruction = instruction
        self.result: Result | None = None
        self.leads = False
        self._bell = threading.Lock()
        self._bell.acquire()

    def wait(self) -> bool:
        """Sleep until called; False where that did not happen in time."""
        return self._bell.acquire(timeout=WAIT_SECONDS)

    def call(self) -> None:
        self._bell.release()


def verdicts_after(error: Exception, number: int) -> list[DomainError | None]:
    """What each of so many is told after their group was not posted.

    Where the database is away, that. Else None: somebody else has locked a wallet, or PostgreSQL refuses
    a transfer, or is at work on it for too long. Then each tries alone, so that it holds up and fails
    nobody but itself.
    """
    if isinstance(error, TookTooLong) or not isinstance(error, ServiceUnavailable | OutcomeUnknown):
        return [None] * number
    return [error] * number


class PostingGroup:
    """The queue of one process. ``together`` and ``alone`` post what they are given, in one commit."""

    def __init__(self, *, together: PostMany, alone: PostMany) -> None:
        self._together, self._alone = together, alone
        self._reset()
        # A child process has neither the threads that wait here nor a right to the connection.
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[_Ticket] = deque()
        self._is_posting = False
        self._lull = Lull()
        # Used by whoever posts; its plans stay warm.
        self._connection = SharedConnection()

    def post(self, instruction: TransferInstruction) -> Result:
        """Post one transfer, together with those that wait; returns its own outcome or refusal.

        Raises ``RuntimeError`` inside of an open transaction: the transfer would be committed by itself.
        """
        if connection.in_atomic_block:
            raise RuntimeError("A transfer commits by itself; do not call it inside a transaction.")
        ticket = _Ticket(instruction)
        with self._guard:
            ticket.leads = not self._is_posting
            self._is_posting = True
            if not ticket.leads:
                self._waiting.append(ticket)
        if not ticket.leads and not ticket.wait():
            self._give_up(ticket)
        if ticket.leads:
            self._lead(ticket)
        if ticket.result is None:
            [ticket.result] = self._alone([instruction])
        return ticket.result

    def _lead(self, leader: _Ticket) -> None:
        """Post for all who wait, let the next one lead, and answer them."""
        group = [leader]
        try:
            self._lull.wait(lambda: len(self._waiting))
            with self._guard:
                while self._waiting and len(group) < LARGEST_GROUP:
                    group.append(self._waiting.popleft())
            self._lull.served(len(group))
            results = self._try_together([ticket.instruction for ticket in group])
            for ticket, result in zip(group, results, strict=True):
                ticket.result = result
        finally:
            self._hand_over()
            for ticket in group[1:]:
                ticket.call()

    def _try_together(self, instructions: list[TransferInstruction]) -> Sequence[Result | None]:
        """The outcomes; None for all where something in the group keeps it from being posted whole."""
        try:
            with self._connection:
                return self._together(instructions)
        except Exception as error:
            return verdicts_after(error, len(instructions))

    def _hand_over(self) -> None:
        with self._guard:
            if self._waiting:
                following = self._waiting.popleft()
                following.leads = True
                following.call()
            else:
                self._is_posting = False

    def _give_up(self, ticket: _Ticket) -> None:
        """Nobody called in time. Where it was taken along, only a retry with its key can tell."""
        with self._guard:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                ticket.result = ServiceUnavailable()
            elif not ticket.leads and ticket.result is None:
                ticket.result = OutcomeUnknown()

    def close(self) -> None:
        """Close the connection; for tests, which drop their database."""
        self._connection.close()
