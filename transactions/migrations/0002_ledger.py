"""How the ledger is written, what PostgreSQL refuses, and how to see that all of it holds."""

from typing import ClassVar

from django.db import migrations

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("transactions", "0001_initial"), ("wallet", "0001_initial"), ("users", "0001_initial")]
    operations: ClassVar = [
        run_sql_file("transactions", "ledger"),
        run_sql_file("transactions", "ledger_violations"),
        run_sql_file("transactions", "transfer_reads"),
    ]
