"""What the relay asks instead of trying each feed."""

from typing import ClassVar

from django.db import migrations

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("payments", "0003_reconciliation")]
    operations: ClassVar = [run_sql_file("payments", "due_feeds")]
