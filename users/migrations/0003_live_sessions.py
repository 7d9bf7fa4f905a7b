"""The same read for requests that are served together."""

from typing import ClassVar

from django.db import migrations

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("users", "0002_live_user")]
    operations: ClassVar = [run_sql_file("users", "live_sessions")]
