"""Keys that are used for what makes no transaction: the ledger looks at them, too."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import fintech_core.fields
from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("transactions", "0009_announced"),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name="ClaimedKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=fintech_core.fields.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("idempotency_key", models.CharField(max_length=255)),
                (
                    "caller",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("caller", "idempotency_key"),
                        name="key_is_claimed_once_per_caller",
                    )
                ]
            },
        ),
        run_sql_file("transactions", "claimed_keys"),
    ]
