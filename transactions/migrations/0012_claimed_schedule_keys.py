"""The keys of schedules that were made before schedules claimed theirs."""

from typing import Any, ClassVar

from django.db import migrations
from django.db.models import Exists, OuterRef


def claim(apps: Any, _: Any) -> None:
    """Not those that a transaction of their caller has: who made it is to get its answer again."""
    schedules, keys, transactions = (
        apps.get_model("transactions", name) for name in ("Schedule", "ClaimedKey", "Transaction")
    )
    used = transactions.objects.filter(
        initiated_by=OuterRef("owner"), idempotency_key=OuterRef("idempotency_key")
    )
    unused = schedules.objects.filter(~Exists(used)).values_list("owner", "idempotency_key")
    keys.objects.bulk_create(
        (keys(caller_id=owner, idempotency_key=key) for owner, key in unused.iterator()),
        batch_size=1_000,
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("transactions", "0011_rows")]
    operations: ClassVar = [migrations.RunPython(claim, migrations.RunPython.noop)]
