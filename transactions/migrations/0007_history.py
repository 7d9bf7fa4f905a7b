"""Histories by time: newest first by what was sent and what was received, and any past balance."""

from typing import ClassVar

from django.db import migrations, models
from django.db.models import Q

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("transactions", "0006_exchange")]

    operations: ClassVar = [
        migrations.AddIndex(
            "transaction",
            models.Index(fields=["from_wallet", "created_at", "id"], name="sent_by_wallet_and_time"),
        ),
        migrations.AddIndex(
            "transaction",
            models.Index(
                condition=~Q(status="declined"),
                fields=["to_wallet", "created_at", "id"],
                name="received_by_wallet_and_time",
            ),
        ),
        # What they served, the two above serve.
        migrations.RemoveIndex("transaction", "transaction_by_source"),
        migrations.RemoveIndex("transaction", "transaction_by_target"),
        run_sql_file("transactions", "history"),
    ]
