"""What the worker does for this app by the clock."""

from celery import shared_task

from users import services


@shared_task(name="users.expire_kyc")
def expire_kyc() -> int:
    """Take the tier from users whose approval has run out; may run twice without harm."""
    return services.expire_kyc()


@shared_task(name="users.prune_sessions")
def prune_sessions() -> int:
    """Forget ended sessions and old counters; may run twice without harm."""
    return services.prune_sessions()
