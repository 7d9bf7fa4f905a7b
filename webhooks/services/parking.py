"""What becomes of an endpoint's pending deliveries when nothing is to be sent to it any more."""

from webhooks.models import Delivery, DeliveryStatus, DisabledBecause, Endpoint, EndpointStatus

# Rows that one statement parks; what is left over is parked by the hourly upkeep.
CHUNK = 5_000


def disable(endpoint: Endpoint, reason: DisabledBecause) -> None:
    """Send nothing more to a locked endpoint; what was pending for it is parked."""
    endpoint.status, endpoint.reason = EndpointStatus.DISABLED, reason
    endpoint.due_at = None
    endpoint.save(update_fields=["status", "reason", "due_at"])
    park(endpoint)


def park(endpoint: Endpoint) -> int:
    """Give up what is pending for a locked endpoint, a bounded part of it; returns how many."""
    pending = Delivery.objects.filter(endpoint=endpoint, status=DeliveryStatus.PENDING)
    chosen = pending.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:CHUNK]
    return Delivery.objects.filter(pk__in=list(chosen), status=DeliveryStatus.PENDING).update(
        status=DeliveryStatus.PARKED, next_attempt_at=None, handed_until=None, claim=None
    )
