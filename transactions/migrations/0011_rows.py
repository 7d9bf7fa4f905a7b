"""Values travel as rows, and what a row alone must fulfil is checked by the ledger's triggers."""

from typing import ClassVar

from django.db import migrations, models

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):
    dependencies: ClassVar = [("transactions", "0010_claimed_keys")]
    operations: ClassVar = [
        run_sql_file("transactions", "rows"),
        migrations.RemoveConstraint("transaction", "wallets_of_a_transaction_differ"),
        migrations.RemoveConstraint("transaction", "transaction_kind_and_status_are_known"),
        migrations.RemoveConstraint("transaction", "declined_exactly_with_a_decline_code"),
        migrations.RemoveConstraint("transaction", "only_a_conversion_changes_currency"),
        migrations.RemoveConstraint("transaction", "what_ends_a_hold_names_it"),
        migrations.RemoveConstraint("transaction", "reversal_names_its_original"),
        migrations.AlterField(
            "transaction", "hash_scheme", models.SmallIntegerField(db_default=2, default=2)
        ),
        migrations.AlterField("ledgerentry", "leg", models.SmallIntegerField()),
    ]
