"""PostgreSQL numbers and chains the audit trail, and refuses to change it."""

from typing import ClassVar

from django.db import migrations

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("events", "0001_initial")]
    operations: ClassVar = [run_sql_file("events", "audit_trail")]
