"""When the next look at an endpoint's deliveries is due."""

import uuid
from collections.abc import Collection

from django.db.models import F
from django.db.models.functions import Coalesce, Greatest, Least, Now

from webhooks.models import Endpoint


def wake(endpoint_ids: Collection[uuid.UUID]) -> None:
    """Let the next look at these locked endpoints happen at once, or when they may be sent to again."""
    soon = Greatest(Now(), Coalesce(F("resume_at"), Now()))
    Endpoint.objects.filter(pk__in=endpoint_ids).update(
        due_at=Least(Coalesce(F("due_at"), soon), soon)
    )
