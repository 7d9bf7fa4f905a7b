"""Who may act on the holds and transfers of others, and where lists of holds start."""

from typing import ClassVar

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("transactions", "0003_holds_fees_and_conversions"),
    ]

    operations: ClassVar = [
        migrations.AlterModelOptions(
            name="transaction",
            options={
                "permissions": [
                    ("capture_hold", "Can capture holds of others"),
                    ("void_hold", "Can void holds of others"),
                    ("reverse_transaction", "Can reverse transfers of others"),
                ]
            },
        ),
        migrations.AddIndex(
            "transaction",
            models.Index(
                condition=Q(status="pending"),
                fields=["from_wallet", "id"],
                name="pending_by_source",
            ),
        ),
        migrations.AddIndex(
            "transaction",
            models.Index(
                condition=Q(status="pending"), fields=["to_wallet", "id"], name="pending_by_target"
            ),
        ),
    ]
