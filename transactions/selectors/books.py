"""Whether the books agree."""

from django.db import connection, transaction

from fintech_core.database import call


def list_violations() -> list[tuple[str, str]]:
    """Every (invariant, subject) that does not hold, seen at one moment; empty when the books agree."""
    return [(invariant, subject) for invariant, subject in call("ledger_violations")]


def check_books() -> list[tuple[str, str]]:
    """``list_violations()`` over a ledger of any size: it may take three minutes."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '180s'")
        return list_violations()
