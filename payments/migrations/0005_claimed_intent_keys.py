"""The keys of intents that were made before intents claimed theirs."""

from typing import Any, ClassVar

from django.db import migrations
from django.db.models import Exists, OuterRef


def claim(apps: Any, _: Any) -> None:
    """Not those that a transaction of their caller has: who made it is to get its answer again."""
    intents = apps.get_model("payments", "PaymentIntent")
    keys, transactions = (
        apps.get_model("transactions", name) for name in ("ClaimedKey", "Transaction")
    )
    used = transactions.objects.filter(
        initiated_by=OuterRef("user"), idempotency_key=OuterRef("idempotency_key")
    )
    unused = intents.objects.filter(~Exists(used)).values_list("user", "idempotency_key")
    keys.objects.bulk_create(
        (keys(caller_id=user, idempotency_key=key) for user, key in unused.iterator()),
        batch_size=1_000,
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("payments", "0004_due_feeds"),
        ("transactions", "0010_claimed_keys"),
    ]
    operations: ClassVar = [migrations.RunPython(claim, migrations.RunPython.noop)]
