"""What a wallet's row alone must fulfil is checked by the ledger's triggers, which are there by now."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("wallet", "0002_owners_pots_and_holds"),
        ("transactions", "0011_rows"),
    ]
    operations: ClassVar = [
        migrations.RemoveConstraint("wallet", "available_is_never_negative"),
        migrations.RemoveConstraint("wallet", "held_is_never_negative"),
        migrations.RemoveConstraint("wallet", "overdraft_limit_is_a_users_and_not_negative"),
        migrations.RemoveConstraint("wallet", "closed_wallet_is_empty"),
        migrations.RemoveConstraint("wallet", "wallet_is_a_users_or_the_platforms"),
        migrations.RemoveConstraint("wallet", "primary_wallet_is_its_owners"),
        migrations.RemoveConstraint("wallet", "wallet_kind_and_status_are_known"),
    ]
