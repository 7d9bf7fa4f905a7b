"""What the relay asks instead of trying each feed."""

from typing import ClassVar

from django.db import migrations

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("webhooks", "0001_endpoints_and_deliveries"), ("events", "0003_outbox")]
    operations: ClassVar = [run_sql_file("webhooks", "due_feeds")]
