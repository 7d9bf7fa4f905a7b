"""From what was announced to what is to be sent, in one transaction."""

import logging
from collections.abc import Sequence

from django.db import InterfaceError, NotSupportedError, OperationalError, transaction

from events.services import Announcement, take_announcements
from fintech_core.sqlstates import is_connection_lost
from webhooks.models import Endpoint, EndpointStatus
from webhooks.payloads import stories_of
from webhooks.services import keep_stories, set_aside

logger = logging.getLogger(__name__)

# Announcements that one transaction takes.
BATCH = 500


def tell_endpoints(limit: int = BATCH) -> int:
    """Take the oldest announcements and keep what endpoints want of them; returns how many were taken.

    Taken and kept is one commit: nothing is lost, and nothing is told twice under another id. Several may
    do so at once. One that cannot be told is set aside, so that those behind it do not wait for it.
    """
    with transaction.atomic(durable=True):
        announcements = take_announcements(limit)
        if announcements and Endpoint.objects.filter(status=EndpointStatus.ENABLED).exists():
            _tell(announcements)
    return len(announcements)


def _tell(announcements: Sequence[Announcement]) -> None:
    """All at once; where some of them cannot be told, each half by itself, down to those."""
    try:
        with transaction.atomic():
            keep_stories(stories_of(announcements))
    except Exception as error:
        if _passes(error):
            raise
        if len(announcements) == 1:
            logger.exception("announcement_not_told", extra={"id": str(announcements[0].id)})
            set_aside(announcements[0], error)
            return
        middle = len(announcements) // 2
        _tell(announcements[:middle])
        _tell(announcements[middle:])


def _passes(error: Exception) -> bool:
    """Whether it is the database's trouble of the moment (a lost connection, a lock, a statement prepared
    before a migration), and no announcement's: they are taken again."""
    is_of_the_moment = isinstance(error, OperationalError | InterfaceError | NotSupportedError)
    return is_of_the_moment or is_connection_lost(error)
