"""What the operators' page says can be done as it says."""

import re

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.db import connection

from fintech_core import queues

PAGE = (settings.BASE_DIR / "docs" / "operations.md").read_text()


@pytest.mark.usefixtures("committed")
def test_its_queries_run_and_give_one_number_each() -> None:
    [block] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    found = [part for part in block.split(";") if part.strip()]
    assert len(found) == 4
    with connection.cursor() as cursor:
        for query in found:
            cursor.execute(query)
            assert len(cursor.fetchall()) == 1


def test_it_names_every_queue_and_no_other_command() -> None:
    assert set(re.findall(r"worker -Q (\w+)", PAGE)) == set(queues.QUEUES)
    assert set(re.findall(r"manage\.py (\w+)", PAGE)) <= {*get_commands(), "check"}
