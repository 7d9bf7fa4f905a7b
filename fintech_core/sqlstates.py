"""What PostgreSQL says went wrong: condition codes and constraint names behind Django's errors."""

from django.db import InterfaceError, OperationalError

SERIALIZATION_FAILURE = "40001"
DEADLOCK_DETECTED = "40P01"
LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
# What post_ledger() answers while postings are halted.
OBJECT_NOT_IN_PREREQUISITE_STATE = "55000"
IDLE_IN_TRANSACTION_TIMEOUT = "25P03"
TRANSACTION_TIMEOUT = "25P04"


def sqlstate_of(error: BaseException) -> str | None:
    """PostgreSQL's five-character condition code behind a Django database error, if it has one."""
    return getattr(error.__cause__, "sqlstate", None)


def constraint_of(error: BaseException) -> str | None:
    """The name of the constraint behind an ``IntegrityError``; names state the fact they keep."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


def is_connection_lost(error: BaseException) -> bool:
    """Whether the session is gone: the socket broke (no code at all), class 08, the server going down or
    coming up, or a session it ended because we kept it waiting."""
    sqlstate = sqlstate_of(error)
    if sqlstate is None:
        return isinstance(error, OperationalError | InterfaceError)
    return sqlstate.startswith(("08", "57P")) or sqlstate in {
        IDLE_IN_TRANSACTION_TIMEOUT,
        TRANSACTION_TIMEOUT,
    }
