"""What PostgreSQL says went wrong: condition codes and constraint names behind Django's errors."""

SERIALIZATION_FAILURE = "40001"
DEADLOCK_DETECTED = "40P01"
LOCK_NOT_AVAILABLE = "55P03"


def sqlstate_of(error: BaseException) -> str | None:
    """PostgreSQL's five-character condition code behind a Django database error, if it has one."""
    return getattr(error.__cause__, "sqlstate", None)


def constraint_of(error: BaseException) -> str | None:
    """The name of the constraint behind an ``IntegrityError``; names state the fact they keep."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)
