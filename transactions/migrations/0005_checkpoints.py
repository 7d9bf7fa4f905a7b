"""Signed checkpoints, what verifying needs, and at most one halt at a time."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

from fintech_core.database import run_sql_file


def _reference(related_name, to):
    """A foreign key without a constraint: what it names is never removed."""
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=related_name,
        to=to,
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("transactions", "0004_hold_operators"),
        ("wallet", "0002_owners_pots_and_holds"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField()),
                ("previous", models.BinaryField(max_length=32)),
                ("root", models.BinaryField(max_length=32)),
                ("wallet_count", models.BigIntegerField()),
                ("changed_root", models.BinaryField(max_length=32)),
                ("changed_count", models.BigIntegerField()),
                ("entry_count", models.BigIntegerField()),
                ("last_entry_id", models.BigIntegerField()),
                ("key_id", models.CharField(max_length=16)),
                ("signature", models.BinaryField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="CheckpointHead",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("checkpoint", _reference("heads", "transactions.checkpoint")),
                ("wallet", _reference("+", "wallet.wallet")),
                ("sequence", models.BigIntegerField()),
                ("hash", models.BinaryField(max_length=32)),
                ("leaf", models.BinaryField(max_length=32)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("wallet", "sequence"), name="head_is_unique_per_wallet_and_sequence"
                    )
                ],
                "indexes": [
                    models.Index(fields=["checkpoint", "wallet"], name="head_by_checkpoint")
                ],
            },
        ),
        migrations.CreateModel(
            name="Verification",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(auto_now_add=True)),
                ("is_full", models.BooleanField()),
                ("after_checkpoint", models.BigIntegerField()),
                ("until_checkpoint", models.BigIntegerField()),
                ("entry_count", models.BigIntegerField()),
                ("is_sound", models.BooleanField()),
                ("violation", models.JSONField(null=True)),
            ],
        ),
        migrations.AddConstraint(
            "ledgerhalt",
            models.UniqueConstraint(
                condition=Q(cleared_at__isnull=True),
                fields=("cleared_at",),
                name="one_halt_stands_at_a_time",
                nulls_distinct=False,
            ),
        ),
        run_sql_file("transactions", "verification"),
        run_sql_file("transactions", "violations"),
    ]
