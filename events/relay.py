"""The relay: hands what is due in PostgreSQL to Celery. Nothing else publishes, and no request ever does.

A feed claims a bounded number of due rows in one short transaction, puts a lease on them, and publishes
one message for each. A message that is lost costs nothing but the lease: the row is due again after it.
So the relay is the sweep, too, and any number of relays may run.

Most of the time nothing is due, so that the relay first asks which feeds have anything: one prepared call
for each of ``RELAY_LOOKS``. That only saves turns: now and then every feed has its own, whatever was
answered.
"""

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from events.publishing import BrokerUnavailable, Publisher, queue_of
from fintech_core.calls import call

logger = logging.getLogger(__name__)

Feed = Callable[[], int]
# The names of the feeds that have something due.
Look = Callable[[], Collection[str]]

# Between two looks; after a turn in which what is due could not be handed over; and between two rounds of
# all feeds.
LOOK_SECONDS = 0.05
IDLE_SECONDS = 0.1
ROUND_SECONDS = 5.0
LONGEST_PAUSE = 5.0
# Trouble that lasts is told again this often.
_TELL_AGAIN_SECONDS = 60.0

publisher = Publisher()


def hand_over_due(
    rows: "QuerySet[Any]",
    *,
    task: str,
    lease: timedelta,
    limit: int = 100,
    due: str = "next_attempt_at",
    queue: str | None = None,
    carrying: str | None = None,
) -> int:
    """Hand some of these rows, those that are due, to a task by name; returns how many.

    ``rows`` are of one table; ``due`` is the column that says from when on a row is due. It is moved by
    ``lease``, longer than the task takes, so nobody else hands the row over meanwhile. Fewer are taken
    where the queue (by default the task's own) is long already. The task gets the row's id, and what the
    column ``carrying`` holds where one is named: from that it may tell a message that waited too long.

    Raises ``BrokerUnavailable``, and then what was not published is due at once; database errors; and
    ``RuntimeError`` in a transaction.
    """
    queue = queue or queue_of(task)
    room = min(limit, publisher.room_in(queue))
    if room <= 0:
        return 0
    now = timezone.now()
    leased_until = now + lease
    model: type[Model] = rows.model
    with transaction.atomic(durable=True):
        waiting = rows.filter(**{f"{due}__lte": now}).order_by(due)
        waiting = waiting.select_for_update(skip_locked=True, no_key=True)
        columns = ["pk", carrying] if carrying else ["pk"]
        claimed: list[tuple[Any, ...]] = list(waiting.values_list(*columns)[:room])
        ids: list[uuid.UUID] = [row_id for row_id, *_ in claimed]
        if ids:
            model._default_manager.filter(pk__in=ids).update(**{due: leased_until})
    for position, (row_id, *carried) in enumerate(claimed):
        try:
            publisher.publish(task, row_id, *carried, queue=queue)
        except BrokerUnavailable:
            # This one, too: whether the broker has it is not known, and twice is harmless.
            mine = model._default_manager.filter(pk__in=ids[position:], **{due: leased_until})
            mine.update(**{due: now})
            raise
    return len(claimed)


@dataclass
class _Turn:
    """A feed and how it fares: after trouble it is left alone for a while, the others are not."""

    name: str
    feed: Feed
    failures: int = 0
    resumes_at: float = 0.0
    told_at: float = 0.0

    def take(self) -> int:
        """Run the feed unless it pauses; never raises."""
        if time.monotonic() < self.resumes_at:
            return 0
        try:
            handed_over = self.feed()
        except Exception as error:  # Whatever it is, the relay goes on.
            self._note(error)
            return 0
        if self.failures:
            logger.warning("relay_goes_on", extra={"feed": self.name, "failures": self.failures})
            self.failures = 0
        return handed_over

    def _note(self, error: Exception) -> None:
        now = time.monotonic()
        if isinstance(error, DatabaseError):
            connection.close()
        if not self.failures or now - self.told_at >= _TELL_AGAIN_SECONDS:
            self.told_at = now
            is_foreseen = isinstance(error, BrokerUnavailable | DatabaseError)
            logger.error(
                "relay_in_trouble",
                extra={"feed": self.name, "reason": type(error).__name__},
                exc_info=None if is_foreseen else error,
            )
        self.failures += 1
        pause = min(LONGEST_PAUSE, 0.1 * 2 ** min(self.failures, 10))
        self.resumes_at = now + pause * random.uniform(0.5, 1)  # noqa: S311 - jitter  # nosec B311


class Relay:
    """Goes through the feeds in turn, for as long as it is not told to stop.

    With a look only those have a turn that it names, and all of them every ``ROUND_SECONDS``.
    """

    def __init__(self, feeds: Iterable[tuple[str, Feed]], look: Look | None = None) -> None:
        self._turns = [_Turn(name, feed) for name, feed in feeds]
        self._look = look
        self._next_round = 0.0

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set; rests where there is nothing to do. Never raises."""
        while not stop.is_set():
            due = self._due()
            if not due:
                stop.wait(LOOK_SECONDS)
            elif not self._take(due, stop):
                stop.wait(IDLE_SECONDS)
        publisher.close()

    def go_round(self, stop: threading.Event | None = None) -> int:
        """Give each feed its turn once; how many rows were handed over."""
        return self._take(self._turns, stop)

    def _due(self) -> Sequence[_Turn]:
        """Whose turn it is. A look that fails says nothing: the feeds then tell what is wrong."""
        now = time.monotonic()
        if self._look is None or now >= self._next_round:
            self._next_round = now + ROUND_SECONDS
            return self._turns
        try:
            names = self._look()
        except DatabaseError:
            connection.close()
            return self._turns
        return [turn for turn in self._turns if turn.name in names]

    def _take(self, turns: Iterable[_Turn], stop: threading.Event | None) -> int:
        handed_over = 0
        for turn in turns:
            if stop is not None and stop.is_set():
                break
            handed_over += turn.take()
        return handed_over

    def in_trouble(self) -> Sequence[str]:
        """The feeds whose last turn failed."""
        return [turn.name for turn in self._turns if turn.failures]


def configured_feeds() -> list[tuple[str, Feed]]:
    """What ``RELAY_FEEDS`` names; raises ``ImportError``."""
    feeds: Mapping[str, str] = settings.RELAY_FEEDS
    return [(name, import_string(path)) for name, path in feeds.items()]


def look() -> set[str]:
    """The names of feeds that have something due, by ``RELAY_LOOKS``. Raises database errors."""
    return {name for function in settings.RELAY_LOOKS for (name,) in call(function)}
