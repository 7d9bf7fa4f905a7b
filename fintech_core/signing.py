"""Standard Webhooks signatures (standardwebhooks.com, version 1.0): HMAC-SHA256 of id, time and body.

A secret is ``whsec_`` and base 64 of 24 to 64 bytes. A message says which it is (``webhook-id``), when it
was sent (``webhook-timestamp``, seconds since 1970) and ``webhook-signature``: one or more
``v1,<base 64>`` with blanks between, one for each secret that is in force.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets as random
import time
from collections.abc import Iterable, Mapping

PREFIX = "whsec_"
TOLERANCE = 300

_SECRET_BYTES = range(24, 65)
_MOST_SIGNATURES = 16
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


class InvalidMessage(Exception):
    """No secret of ours signed this, as it stands, at about this time."""


def new_secret() -> str:
    """A secret of 32 random bytes."""
    return PREFIX + base64.b64encode(random.token_bytes(32)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature, ``v1,<base 64>``. Raises ``ValueError`` for what is no secret."""
    told = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key_of(secret), told, hashlib.sha256)).decode()


def verify(
    secrets: Iterable[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> str:
    """The id of a message that one of the secrets signed, at most ``tolerance`` seconds ago or ahead.

    ``headers`` by lower-case name. Raises ``InvalidMessage`` for any other, whatever was sent; which of
    the signatures or secrets came close does not show in the time it takes.
    """
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").split()
    if not message_id or not _SECONDS.fullmatch(timestamp) or not given:
        raise InvalidMessage("A header is missing or malformed.")
    if len(given) > _MOST_SIGNATURES:
        raise InvalidMessage("Too many signatures.")
    if abs(int(timestamp) - (time.time() if now is None else now)) > tolerance:
        raise InvalidMessage("Sent too long ago, or in the future.")
    try:
        expected = [sign(secret, message_id, int(timestamp), body).encode() for secret in secrets]
        offered = [signature.encode() for signature in given]
    except UnicodeError:
        raise InvalidMessage("A header is not text.") from None
    # Each is compared with each, so that nothing is learnt from when it ends.
    matches = [hmac.compare_digest(one, other) for one in expected for other in offered]
    if not any(matches) or timestamp != str(int(timestamp)):
        raise InvalidMessage("No signature matches.")
    return message_id


def _key_of(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _SECRET_BYTES:
        raise ValueError("A webhook secret is whsec_ and base 64 of 24 to 64 bytes.")
    return key
