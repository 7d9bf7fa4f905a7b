"""What the relay hands over of providers' events."""

from datetime import timedelta

from events.relay import hand_over_due
from payments.models import EventStatus, ProviderEvent

# A message is believed to be lost after so long.
LEASE = timedelta(seconds=60)


def hand_over_events() -> int:
    """Have a worker act on each event that is due; returns how many there were."""
    return hand_over_due(
        ProviderEvent.objects.filter(status=EventStatus.PENDING),
        task="payments.handle_event",
        lease=LEASE,
    )
