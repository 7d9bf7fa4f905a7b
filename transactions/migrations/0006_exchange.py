"""Exchange rates, and quotes of conversions."""

from decimal import Decimal
from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

import fintech_core.fields
from fintech_core.database import run_sql_file


def _id():
    return models.UUIDField(
        default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False
    )


def _wallet():
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="wallet.wallet",
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("transactions", "0005_checkpoints"),
        ("wallet", "0002_owners_pots_and_holds"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                ("id", _id()),
                ("base", models.CharField(max_length=3)),
                ("quote", models.CharField(max_length=3)),
                ("rate", models.DecimalField(decimal_places=12, max_digits=19)),
                ("as_of", models.DateTimeField()),
                ("source", models.CharField(max_length=60)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["base", "quote", "-as_of", "-id"], name="newest_rate_of_a_pair"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(base__lt=F("quote")), name="rate_is_in_its_one_direction"
                    ),
                    models.CheckConstraint(
                        condition=Q(rate__gte=Decimal("0.000001"), rate__lte=Decimal(1_000_000)),
                        name="rate_is_plausible",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Quote",
            fields=[
                ("id", _id()),
                ("amount", fintech_core.fields.AmountField()),
                ("currency", models.CharField(max_length=3)),
                ("to_amount", fintech_core.fields.AmountField()),
                ("to_currency", models.CharField(max_length=3)),
                ("rate", models.DecimalField(decimal_places=24, max_digits=31)),
                ("fee", fintech_core.fields.AmountField()),
                ("rate_source", models.CharField(max_length=60)),
                ("rate_as_of", models.DateTimeField()),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(db_index=True)),
                ("from_wallet", _wallet()),
                ("to_wallet", _wallet()),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "transaction",
                    models.OneToOneField(
                        db_constraint=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="transactions.transaction",
                    ),
                ),
            ],
        ),
        run_sql_file("transactions", "exchange"),
    ]
