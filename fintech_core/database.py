"""What every app needs of PostgreSQL: rights of the application's role, SQL files, bounded retries."""

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import dj_database_url
from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    connections,
    migrations,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from fintech_core.exceptions import (
    DomainError,
    OutcomeUnknown,
    PostingsHalted,
    RequestInProgress,
    ServiceUnavailable,
    TookTooLong,
)
from fintech_core.sqlstates import (
    DEADLOCK_DETECTED,
    LOCK_NOT_AVAILABLE,
    OBJECT_NOT_IN_PREREQUISITE_STATE,
    QUERY_CANCELED,
    SERIALIZATION_FAILURE,
    constraint_of,
    is_connection_lost,
    sqlstate_of,
)

logger = logging.getLogger(__name__)

R = TypeVar("R")

_ATTEMPTS = 5
# What another attempt would not change.
_REFUSALS: dict[str | None, Callable[[], DomainError]] = {
    LOCK_NOT_AVAILABLE: RequestInProgress,
    QUERY_CANCELED: TookTooLong,
    OBJECT_NOT_IN_PREREQUISITE_STATE: PostingsHalted,
}


def exactly_once(
    work: Callable[[], R],
    *,
    keys: str | tuple[str, ...] = (),
    finish: Callable[[R], object] = lambda _: None,
) -> R:
    """Run a transaction whose effects are guarded by idempotency keys, to a known end.

    It runs again, on a new connection where need be, after a deadlock, a serialization failure, a lost
    connection, or when another request took a key meanwhile (the unique constraints ``keys``, one or
    several): at most 5 times in about a second. Running again is safe even when the first commit did land
    unseen: the second run finds the keys and replays. ``finish`` takes what ``work`` came to and may end
    the transaction by ``call_and_commit``, which spares the commit a trip of its own.

    Raises ``OutcomeUnknown`` where a commit was sent and nothing certain can be learnt of it;
    ``RequestInProgress`` when a lock or key was not to be had, ``PostingsHalted`` while no money may
    move, ``TookTooLong`` after the longest that a statement may take, and ``ServiceUnavailable`` when the
    database stayed away: with these nothing was done.
    """
    names = {keys} if isinstance(keys, str) else {*keys}
    in_doubt = False
    refusal: DomainError = ServiceUnavailable()
    for attempt in range(_ATTEMPTS):
        _pause_before(attempt)
        committing = False
        try:
            with transaction.atomic(durable=True):
                result = work()
                committing = True
                finish(result)
            return result  # noqa: TRY300 - the return belongs to the attempt
        except IntegrityError as error:
            if constraint_of(error) not in names:
                raise
            refusal = RequestInProgress()
        except (OperationalError, InterfaceError, InternalError) as error:
            state = sqlstate_of(error)
            logger.warning("transaction_failed", extra={"attempt": attempt, "sqlstate": state})
            refusal = ServiceUnavailable()
            if is_connection_lost(error):
                in_doubt = in_doubt or committing
                connection.close()
            elif state in _REFUSALS:
                refusal = _REFUSALS[state]()
                break
            elif isinstance(error, InternalError):
                raise
            elif state not in {SERIALIZATION_FAILURE, DEADLOCK_DETECTED}:
                break
    raise OutcomeUnknown if in_doubt else refusal


def _pause_before(attempt: int) -> None:
    """Nothing before the first attempt, then 30 to 60 ms, and about twice as long each time."""
    if attempt:
        time.sleep(random.uniform(0.5, 1) * 0.03 * 2**attempt)  # noqa: S311 - jitter  # nosec B311


class SharedConnection:
    """One database connection that threads use in turn, as their own while they are inside it.

    The caller sees to it that there is one at a time. What a connection keeps (plans, prepared
    statements) is kept once instead of once per thread, and stays warm.
    """

    def __init__(self) -> None:
        self._shared: BaseDatabaseWrapper | None = None

    def __enter__(self) -> None:
        self._own = connections[DEFAULT_DB_ALIAS]
        if self._shared is None:
            self._shared = connections.create_connection(DEFAULT_DB_ALIAS)
            self._shared.inc_thread_sharing()
        self._shared.settings_dict = self._own.settings_dict
        connections[DEFAULT_DB_ALIAS] = self._shared

    def __exit__(self, *_: object) -> None:
        connections[DEFAULT_DB_ALIAS] = self._own

    def close(self) -> None:
        """Close it; the next use opens it again."""
        if self._shared is not None:
            self._shared.close()


def allow_statement(seconds: int) -> None:
    """Let each further statement of the open transaction take so long; for work that reads much."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds}s"])


def run_sql_file(app: str, name: str) -> migrations.RunSQL:
    """A migration step that loads ``<app>/sql/<name>.sql``.

    Going back is ``<name>.down.sql``; where there is none the step cannot be undone.
    """
    folder = Path(settings.BASE_DIR) / app / "sql"
    down = folder / f"{name}.down.sql"
    return migrations.RunSQL(
        (folder / f"{name}.sql").read_text(), down.read_text() if down.exists() else None
    )


def grant_application_role(*, using: str, **_: Any) -> None:
    """After each migration: give the application's role its rights, and no more.

    Does nothing where the application connects as the owner itself: rights cannot bind an owner, and
    the triggers refuse all the same.
    """
    role = dj_database_url.parse(settings.DATABASE_URL).get("USER")
    if not role or role == connection.settings_dict["USER"]:
        return
    text = (Path(settings.BASE_DIR) / "fintech_core" / "sql" / "grant_role.sql").read_text()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        if cursor.fetchone() is None:
            logger.warning("application_role_missing", extra={"role": role})
            return
        cursor.execute("SELECT to_regclass('webhooks_deliveryattempt')")
        if cursor.fetchone() == (None,):
            return  # Only a part of the apps is migrated so far.
        cursor.execute(sql.SQL(text).format(role=sql.Identifier(role)).as_string(None))
