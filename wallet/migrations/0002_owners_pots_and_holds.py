"""Further wallets of a user, overdraft limits, holds; every wallet names its owner."""

from decimal import Decimal
from typing import ClassVar

import django.db.models.deletion
import django.db.models.functions.comparison
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

import fintech_core.fields


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("wallet", "0001_initial"),
        # The triggers on wallets are there, and let an owner be added.
        ("transactions", "0002_ledger"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.AlterModelOptions(
            name="wallet",
            options={
                "permissions": [
                    ("freeze_wallet", "Can freeze and unfreeze wallets"),
                    ("set_overdraft", "Can set how far below zero a wallet may go"),
                ]
            },
        ),
        migrations.RemoveConstraint("wallet", "available_is_never_negative"),
        migrations.RemoveConstraint("wallet", "wallet_is_a_users_or_the_platforms"),
        migrations.RemoveConstraint("wallet", "wallet_kind_and_status_are_known"),
        migrations.AddField(
            "wallet",
            "owner",
            models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="wallets",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunSQL(
            "UPDATE wallet_wallet SET owner_id = user_id WHERE user_id IS NOT NULL;"
            " SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;",
            migrations.RunSQL.noop,
        ),
        migrations.AddField(
            "wallet",
            "limits_wallet",
            models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="pots",
                to="wallet.wallet",
            ),
        ),
        migrations.AddField(
            "wallet", "overdraft_limit", fintech_core.fields.AmountField(editable=False, null=True)
        ),
        migrations.AlterField(
            "wallet",
            "kind",
            models.CharField(
                choices=[
                    ("user", "a user's"),
                    ("cash", "cash at a provider"),
                    ("fees", "fees earned"),
                    ("suspense", "not yet attributed"),
                    ("exchange", "bought and sold in conversions"),
                    ("rounding", "left over by rounding"),
                ],
                default="user",
                editable=False,
                max_length=12,
            ),
        ),
        migrations.AddConstraint(
            "wallet",
            models.CheckConstraint(
                condition=Q(
                    balance__gte=F("held")
                    - django.db.models.functions.comparison.Coalesce("overdraft_limit", Decimal(0))
                )
                | ~Q(kind="user"),
                name="available_is_never_negative",
            ),
        ),
        migrations.AddConstraint(
            "wallet",
            models.CheckConstraint(
                condition=Q(overdraft_limit__isnull=True) | Q(overdraft_limit__gte=0, kind="user"),
                name="overdraft_limit_is_a_users_and_not_negative",
            ),
        ),
        migrations.AddConstraint(
            "wallet",
            models.CheckConstraint(
                condition=~Q(status="closed") | Q(balance=0, held=0), name="closed_wallet_is_empty"
            ),
        ),
        migrations.AddConstraint(
            "wallet",
            models.CheckConstraint(
                condition=Q(kind="user", owner__isnull=False, purpose="")
                | (Q(owner__isnull=True) & ~Q(kind="user") & ~Q(purpose="")),
                name="wallet_is_a_users_or_the_platforms",
            ),
        ),
        migrations.AddConstraint(
            "wallet",
            models.CheckConstraint(
                condition=Q(user__isnull=True) | Q(user=F("owner")),
                name="primary_wallet_is_its_owners",
            ),
        ),
        migrations.AddConstraint(
            "wallet",
            models.UniqueConstraint(
                condition=Q(limits_wallet__isnull=True, owner__isnull=False),
                fields=("owner", "currency"),
                name="limits_are_counted_once_per_owner_and_currency",
            ),
        ),
        migrations.AddConstraint(
            "wallet",
            models.CheckConstraint(
                condition=Q(
                    kind__in=["user", "cash", "fees", "suspense", "exchange", "rounding"],
                    status__in=["active", "frozen", "closed"],
                ),
                name="wallet_kind_and_status_are_known",
            ),
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("captured", "Captured"),
                            ("voided", "Voided"),
                            ("expired", "Expired"),
                        ],
                        max_length=8,
                    ),
                ),
                ("amount", fintech_core.fields.AmountField()),
                ("fee", fintech_core.fields.AmountField()),
                ("currency", models.CharField(max_length=3)),
                ("captured_amount", fintech_core.fields.AmountField()),
                ("captured_fee", fintech_core.fields.AmountField()),
                ("expires_at", models.DateTimeField()),
                ("created_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "wallet",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="holds",
                        to="wallet.wallet",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(amount__gt=0, fee__gte=0)
                        & Q(captured_amount__gte=0, captured_amount__lte=F("amount"))
                        & Q(captured_fee__gte=0, captured_fee__lte=F("fee")),
                        name="no_more_is_captured_than_is_held",
                    ),
                    models.CheckConstraint(
                        condition=Q(status="open", closed_at__isnull=True)
                        | Q(
                            status__in=["captured", "voided", "expired"], closed_at__isnull=False
                        ),
                        name="hold_is_open_or_closed_at_a_time",
                    ),
                ],
                "indexes": [
                    models.Index(
                        condition=Q(status="open"),
                        fields=["wallet", "expires_at"],
                        name="open_hold_by_wallet",
                    ),
                    models.Index(
                        condition=Q(status="open"), fields=["expires_at"], name="open_hold_by_expiry"
                    ),
                ],
            },
        ),
    ]
