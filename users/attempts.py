"""Attempts counted in PostgreSQL, so that no race and no lost cache lets more through.

Each count commits by itself and at once: call these outside of a transaction that may roll back.
"""

import functools
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.db import connection, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from fintech_core.exceptions import TooManyRequests
from users.models import AttemptCounter

logger = logging.getLogger(__name__)

_COUNT = (Path(__file__).parent / "sql" / "count_attempt.sql").read_text()
# How long a caller waits for others' verdicts before it is refused; argon2 takes 0.05 to 0.5 s.
_PATIENCE_SECONDS = 4.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _State:
    count: int
    pending: int
    seconds_left: int


class Verdict:
    """What came of one attempt; a failure unless ``succeed()`` was called."""

    def __init__(self) -> None:
        self.succeeded = False

    def succeed(self) -> None:
        """This attempt was a good one: it will not count."""
        self.succeeded = True


def count_attempt(*, scope: str, subject: str, window: timedelta, limit: int, by: int = 1) -> None:
    """Count an attempt by the subject; raises ``TooManyRequests`` when it is one too many.

    However many come at once, exactly ``limit`` pass within the window, which starts at the first.
    ``subject`` (a user id, a network) is stored as a keyed hash.
    """
    state = _add({scope: subject}, window, count=by)[scope]
    if state.count > limit:
        _refuse(scope, state.seconds_left)


@dataclass(frozen=True, slots=True)
class Quota:
    """How many attempts of a scope a subject has in a window."""

    scope: str
    window: timedelta
    limit: int

    def subject(self, name: str) -> str:
        """As what the subject's attempts are counted."""
        return _hash(self.scope, name)


def count_many(quota: Quota, subject: str, *, by: int) -> None:
    """Count what has happened already, however much more than the quota it is."""
    _add({quota.scope: subject}, quota.window, count=by)


def require_attempts_left(quota: Quota, subject: str) -> None:
    """Raises ``TooManyRequests`` where the subject's attempts are used up. Counts nothing."""
    now = timezone.now()
    counter = AttemptCounter.objects.filter(
        scope=quota.scope,
        subject=quota.subject(subject),
        count__gte=quota.limit,
        window_start__gt=now - quota.window,
    ).first()
    if counter:
        _refuse(quota.scope, math.ceil((counter.window_start + quota.window - now).total_seconds()))


@contextmanager
def count_failures(
    *, subjects: Mapping[str, str], limits: Mapping[str, int], window: timedelta
) -> Iterator[Verdict]:
    """Guard a guess: failures count against every subject, successes against none.

    ``subjects`` maps scope to subject, the narrowest first. The attempt takes a place before it is
    judged, so that of many at once no more are judged than failures are left. Where the places are
    taken by attempts still being judged it waits for them a moment. Raises ``TooManyRequests``.
    """
    _take_place(subjects, limits, window)
    verdict = Verdict()
    try:
        yield verdict
    finally:
        _add(subjects, window, count=0 if verdict.succeeded else 1, pending=-1)


def _take_place(subjects: Mapping[str, str], limits: Mapping[str, int], window: timedelta) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while full := _full_or_taken(subjects, limits, window):
        for scope, state in full.items():
            if state.count >= limits[scope]:
                _refuse(scope, state.seconds_left)
        if time.monotonic() > deadline:
            _refuse(next(iter(full)), 1)
        time.sleep(_PAUSE_SECONDS)


def _full_or_taken(
    subjects: Mapping[str, str], limits: Mapping[str, int], window: timedelta
) -> dict[str, _State]:
    """The counters without a free place; a place is taken in all of them where there are none such.

    Adding nothing locks the rows, so that between looking and taking nobody else takes.
    """
    with transaction.atomic(durable=True):
        states = _add(subjects, window)
        full = {
            scope: state
            for scope, state in states.items()
            if state.count + state.pending >= limits[scope]
        }
        if not full:
            _add(subjects, window, pending=1)
    return full


def _refuse(scope: str, seconds_left: int) -> None:
    logger.warning("attempts_exceeded", extra={"scope": scope})
    raise TooManyRequests(wait=max(seconds_left, 1))


def _add(
    subjects: Mapping[str, str], window: timedelta, *, count: int = 0, pending: int = 0
) -> dict[str, _State]:
    hashes = [_hash(scope, subject) for scope, subject in subjects.items()]
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT,
            {
                "scopes": list(subjects),
                "subjects": hashes,
                "window": window.total_seconds(),
                "count": count,
                "pending": pending,
            },
        )
        return {scope: _State(*numbers) for scope, *numbers in cursor.fetchall()}


@functools.lru_cache(maxsize=10_000)
def _hash(scope: str, subject: str) -> str:
    """Keyed, so that the table tells nobody which addresses were tried."""
    return salted_hmac(f"users.attempts.{scope}", subject, algorithm="sha256").hexdigest()
