"""The rows of ``post_ledger()`` come in PostgreSQL's binary format."""

from typing import ClassVar

from django.db import migrations

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("transactions", "0012_claimed_schedule_keys")]
    operations: ClassVar = [run_sql_file("transactions", "binary_rows")]
