"""The read that every authenticated request makes."""

from typing import ClassVar

from django.db import migrations

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("users", "0001_initial")]
    operations: ClassVar = [run_sql_file("users", "live_user")]
