"""The clock's look at settlement reports; harmless when run twice."""

from celery import shared_task

from payments.services import reconciliation


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
