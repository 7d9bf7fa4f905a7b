"""A claimed delivery as an HTTP request: the bytes that were kept, signed for this moment."""

import datetime
import logging

from fintech_core.signing import sign
from webhooks.outgoing import Answer, post
from webhooks.sealing import Unreadable, unseal
from webhooks.services import Claimed

logger = logging.getLogger(__name__)

UNSIGNED = "secret_unreadable"


def send(claimed: Claimed, *, at: int) -> Answer:
    """Send it, signed by each secret in force as of ``at``, seconds since 1970; never raises."""
    message_id = str(claimed.event_id)
    try:
        secrets = [unseal(sealed) for sealed in claimed.sealed_secrets]
    except Unreadable:
        logger.exception("webhook_secret_unreadable", extra={"endpoint": str(claimed.endpoint_id)})
        now = datetime.datetime.now(datetime.UTC)
        return Answer(None, UNSIGNED, now, datetime.timedelta(0))
    headers = {
        "content-type": "application/json",
        "user-agent": "fintech-core-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(sign(s, message_id, at, claimed.body) for s in secrets),
    }
    return post(claimed.url, headers=headers, body=claimed.body, seconds=claimed.seconds)
