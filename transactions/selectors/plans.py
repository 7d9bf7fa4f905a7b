"""Reading along an index whatever the planner believes.

It guesses from statistics, which are old or missing where a wallet grew fast: it then takes a million
transactions for some hundred, and sorts them all for the first fifty.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

_IN_ORDER = "".join(
    f"SET LOCAL enable_{detour} = off;"
    for detour in ("sort", "bitmapscan", "seqscan", "hashjoin", "mergejoin")
)


@contextmanager
def in_index_order() -> Iterator[None]:
    """Statements within take rows in the order of an index, if there is one that has it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_IN_ORDER)
        yield
