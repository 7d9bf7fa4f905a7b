"""What can be done about endpoints and deliveries; the only writers of this app's tables."""

from webhooks.services.attempts import (
    Claimed,
    claim_delivery,
    record_attempt,
)
from webhooks.services.endpoints import (
    EndpointDisabled,
    TooManyEndpoints,
    create_endpoint,
    delete_endpoint,
    reseal_secrets,
    rotate_secret,
    update_endpoint,
)
from webhooks.services.handing import (
    give_back,
    hand_out,
)
from webhooks.services.keeping import (
    Story,
    keep_stories,
)
from webhooks.services.pruning import (
    park_leftovers,
    prune_events,
)
from webhooks.services.redelivery import (
    redeliver,
    redeliver_range,
)
from webhooks.services.untold import (
    put_back,
    set_aside,
)

__all__ = [
    "Claimed",
    "EndpointDisabled",
    "Story",
    "TooManyEndpoints",
    "claim_delivery",
    "create_endpoint",
    "delete_endpoint",
    "give_back",
    "hand_out",
    "keep_stories",
    "park_leftovers",
    "prune_events",
    "put_back",
    "record_attempt",
    "redeliver",
    "redeliver_range",
    "reseal_secrets",
    "rotate_secret",
    "set_aside",
    "update_endpoint",
]
