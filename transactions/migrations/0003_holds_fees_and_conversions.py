"""Holds, fees, conversions and reversals; references checked by statement; hash scheme 2."""

from decimal import Decimal
from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

import fintech_core.fields
from fintech_core.database import run_sql_file

_STATUSES = [
    ("posted", "Posted"),
    ("declined", "Declined"),
    ("pending", "Pending"),
    ("voided", "Voided"),
    ("expired", "Expired"),
]


def _reference(related_name, to, *, null=False):
    """A foreign key that is checked by the triggers on its table."""
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=null,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=related_name,
        to=to,
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("transactions", "0002_ledger"),
        ("wallet", "0002_owners_pots_and_holds"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.RenameField("transaction", "decline_facts", "facts"),
        migrations.AddField(
            "transaction", "fee", fintech_core.fields.AmountField(default=Decimal(0))
        ),
        migrations.AddField("transaction", "to_amount", fintech_core.fields.AmountField(null=True)),
        migrations.AddField(
            "transaction",
            "to_currency",
            models.CharField(blank=True, default="", max_length=3),
            preserve_default=False,
        ),
        migrations.AddField(
            "transaction", "parent", _reference("children", "transactions.transaction", null=True)
        ),
        migrations.AddField(
            "transaction",
            "hash_scheme",
            models.PositiveSmallIntegerField(default=1, db_default=1),
        ),
        migrations.AlterField(
            "transaction",
            "hash_scheme",
            models.PositiveSmallIntegerField(default=2, db_default=2),
        ),
        migrations.AlterField(
            "transaction", "from_wallet", _reference("outgoing", "wallet.wallet")
        ),
        migrations.AlterField("transaction", "to_wallet", _reference("incoming", "wallet.wallet")),
        migrations.AlterField(
            "transaction", "initiated_by", _reference("+", settings.AUTH_USER_MODEL, null=True)
        ),
        migrations.AlterField(
            "ledgerentry", "transaction", _reference("entries", "transactions.transaction")
        ),
        migrations.AlterField("ledgerentry", "wallet", _reference("entries", "wallet.wallet")),
        migrations.AlterField("transaction", "idempotency_key", models.CharField(max_length=360)),
        migrations.AlterField(
            "transaction", "status", models.CharField(choices=_STATUSES, max_length=8)
        ),
        migrations.RemoveConstraint("transaction", "transaction_kind_and_status_are_known"),
        migrations.AddConstraint(
            "transaction",
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        "transfer",
                        "deposit",
                        "withdrawal",
                        "refund",
                        "reversal",
                        "conversion",
                        "fee",
                        "adjustment",
                    ],
                    status__in=[value for value, _ in _STATUSES],
                ),
                name="transaction_kind_and_status_are_known",
            ),
        ),
        migrations.AddConstraint(
            "transaction",
            models.CheckConstraint(
                condition=Q(to_amount__isnull=True, to_currency="")
                | (Q(to_amount__gt=0, kind="conversion") & ~Q(to_currency=F("currency"))),
                name="only_a_conversion_changes_currency",
            ),
        ),
        migrations.AddConstraint(
            "transaction",
            models.CheckConstraint(
                condition=Q(status__in=["posted", "declined", "pending"]) | Q(parent__isnull=False),
                name="what_ends_a_hold_names_it",
            ),
        ),
        migrations.AddConstraint(
            "transaction",
            models.CheckConstraint(
                condition=~Q(kind__in=["reversal"]) | Q(parent__isnull=False),
                name="reversal_names_its_original",
            ),
        ),
        migrations.AddIndex(
            "transaction",
            models.Index(
                condition=Q(parent__isnull=False),
                fields=["parent", "id"],
                name="transaction_by_parent",
            ),
        ),
        migrations.CreateModel(
            name="LedgerHalt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reason", models.TextField()),
                ("raised_at", models.DateTimeField(auto_now_add=True)),
                ("cleared_at", models.DateTimeField(null=True)),
                ("cleared_because", models.TextField(blank=True)),
                (
                    "cleared_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "permissions": [
                    ("clear_halt", "Can let postings go on after the books disagreed")
                ],
                "indexes": [
                    models.Index(
                        condition=Q(cleared_at__isnull=True), fields=["id"], name="halt_that_stands"
                    )
                ],
            },
        ),
        # From here on there is no way back: what is posted by scheme 2 cannot be verified without it.
        run_sql_file("transactions", "posting"),
        run_sql_file("transactions", "ledger_rules"),
        run_sql_file("transactions", "open_accounts"),
    ]
