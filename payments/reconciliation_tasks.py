"""The clock's look at settlement reports, and at our own books; harmless when run twice."""

from celery import shared_task

from payments.services import reconciliation
from payments.services.verification import verify_payments


# A long report takes long to fetch, so it is acknowledged first; the next look makes up for one that is
# lost.
@shared_task(
    name="payments.reconcile_recent_days",
    acks_late=False,
    soft_time_limit=3_500,
    time_limit=3_600,
)
def reconcile_recent_days_task() -> int:
    """Reconcile yesterday, and what was missed of the days before. Returns how many runs were made."""
    return reconciliation.reconcile_recent_days()


@shared_task(name="payments.verify", acks_late=False, soft_time_limit=900, time_limit=960)
def verify_task() -> int:
    """See that payments and the ledger agree. Returns how many do not."""
    return len(verify_payments())
