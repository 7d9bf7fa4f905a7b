"""What every app needs of PostgreSQL: rights of the application's role, SQL files, bounded retries."""

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import dj_database_url
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, migrations, transaction

from fintech_core.exceptions import OutcomeUnknown, RequestInProgress, ServiceUnavailable
from fintech_core.sqlstates import (
    DEADLOCK_DETECTED,
    LOCK_NOT_AVAILABLE,
    SERIALIZATION_FAILURE,
    sqlstate_of,
)

logger = logging.getLogger(__name__)

R = TypeVar("R")

_ATTEMPTS = 5


def exactly_once(work: Callable[[], R]) -> R:
    """Run a transaction whose effects are guarded by idempotency keys, to a known end.

    After a deadlock, a serialization failure or a lost connection it runs again, on a new connection
    where need be, at most 5 times in about a second. Running again is safe even when the first commit did
    land unseen: the second run finds the keys and replays. Raises ``RequestInProgress`` when a lock was
    not to be had, ``OutcomeUnknown`` when the database stayed away after a commit was sent, and
    ``ServiceUnavailable`` when it stayed away before: then nothing was done.
    """
    in_doubt = False
    for attempt in range(1, _ATTEMPTS + 1):
        committing = False
        try:
            with transaction.atomic(durable=True):
                result = work()
                committing = True
            return result  # noqa: TRY300 - the return belongs to the attempt
        except (OperationalError, InterfaceError) as error:
            state = sqlstate_of(error)
            logger.warning("transaction_failed", extra={"attempt": attempt, "sqlstate": state})
            if state == LOCK_NOT_AVAILABLE:
                raise RequestInProgress from error
            if _is_connection_lost(state):
                in_doubt = in_doubt or committing
                connection.close()
            elif state not in {SERIALIZATION_FAILURE, DEADLOCK_DETECTED}:
                break
        _pause(attempt + 1)
    raise OutcomeUnknown if in_doubt else ServiceUnavailable


def _pause(attempt: int) -> None:
    """Wait 15 to 30 ms before the second attempt, about twice as long before each further one."""
    time.sleep(random.uniform(0.5, 1) * 0.03 * 2 ** (attempt - 1))  # noqa: S311 - jitter  # nosec B311


def _is_connection_lost(sqlstate: str | None) -> bool:
    """No code at all (the socket broke), class 08, or the server is going down or coming up."""
    return sqlstate is None or sqlstate.startswith(("08", "57P"))


def run_sql_file(app: str, name: str) -> migrations.RunSQL:
    """A migration step that loads ``<app>/sql/<name>.sql``; going back is ``<name>.down.sql``."""
    folder = Path(settings.BASE_DIR) / app / "sql"
    return migrations.RunSQL(
        (folder / f"{name}.sql").read_text(), (folder / f"{name}.down.sql").read_text()
    )


def grant_application_role(*, using: str, **_: Any) -> None:
    """After each migration: give the application's role its rights, and no more.

    Does nothing where the application connects as the owner itself: rights cannot bind an owner, and
    the triggers refuse all the same.
    """
    role = dj_database_url.parse(settings.DATABASE_URL).get("USER")
    if not role or role == connection.settings_dict["USER"]:
        return
    from psycopg import sql

    text = (Path(settings.BASE_DIR) / "fintech_core" / "sql" / "grant_role.sql").read_text()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        if cursor.fetchone() is None:
            logger.warning("application_role_missing", extra={"role": role})
            return
        cursor.execute("SELECT to_regclass('transactions_ledgerentry')")
        if cursor.fetchone() == (None,):
            return  # Only a part of the apps is migrated so far.
        cursor.execute(sql.SQL(text).format(role=sql.Identifier(role)).as_string(None))
