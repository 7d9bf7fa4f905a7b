"""Every transaction is written with its row of the outbox; a refund that came back counts no more."""

from typing import ClassVar

from django.db import migrations

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("events", "0003_outbox"),
        ("transactions", "0008_schedules"),
    ]
    operations: ClassVar = [run_sql_file("transactions", "announced")]
