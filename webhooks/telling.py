"""From what was announced to what is to be sent, in one transaction."""

from django.db import transaction

from events.services import take_announcements
from webhooks.models import Endpoint, EndpointStatus
from webhooks.payloads import stories_of
from webhooks.services import keep_stories

# Announcements that one transaction takes.
BATCH = 500


def tell_endpoints(limit: int = BATCH) -> int:
    """Take the oldest announcements and keep what endpoints want of them; returns how many were taken.

    Taken and kept is one commit: nothing is lost, and nothing is told twice under another id. Several may
    do so at once.
    """
    with transaction.atomic(durable=True):
        announcements = take_announcements(limit)
        if announcements and Endpoint.objects.filter(status=EndpointStatus.ENABLED).exists():
            keep_stories(stories_of(announcements))
    return len(announcements)
