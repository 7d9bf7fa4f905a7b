"""What time it is, by the one clock that all processes share."""

import datetime

from django.db import connection


def now() -> datetime.datetime:
    """The database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        moment: datetime.datetime = cursor.fetchall()[0][0]
    return moment
