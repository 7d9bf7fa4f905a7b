"""Idempotency keys: their form, the fingerprint of a request, and the cache of answers.

PostgreSQL decides; the cache only spares it the retries. An answer comes from the cache when key and
fingerprint match, and from the ledger otherwise, so flushing the cache changes no answer.
"""

import hashlib
import json
import logging
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache

from transactions.declines import IdempotencyKeyRequired, InvalidIdempotencyKey
from transactions.selectors import is_recorded

logger = logging.getLogger(__name__)

_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
# After the cache failed once it is left alone this long, so that its outage slows no transfer.
_PAUSE_SECONDS = 5.0
_paused_until = 0.0


def read_key(*, header: str | None, body: dict[str, Any]) -> str:
    """The request's key, from the header or the body; where both are given they are equal.

    Raises ``IdempotencyKeyRequired`` or ``InvalidIdempotencyKey``.
    """
    candidates = [] if header is None else [header]
    if "idempotency_key" in body:
        candidates.append(body["idempotency_key"])
    if not candidates:
        raise IdempotencyKeyRequired
    for key in candidates:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise InvalidIdempotencyKey
    if len(set(candidates)) > 1:
        raise InvalidIdempotencyKey("The header and the body give different keys.")
    return candidates[0]


def fingerprint(*, method: str, path: str, body: Any) -> bytes:
    """SHA-256 over method, path and the parsed body without its key.

    Member order and white space do not matter; any other difference does.
    """
    content = {name: value for name, value in body.items() if name != "idempotency_key"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{method} {path}\n{canonical}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Answer:
    """A first answer: status and body, and the transaction it tells of."""

    status: int
    body: dict[str, Any]
    transaction_id: uuid.UUID


def recall_answer(*, caller_id: uuid.UUID, key: str, request: bytes) -> Answer | None:
    """The first answer to this very request, where the cache still has it and PostgreSQL has its
    transaction: a database that was restored from a backup may not."""
    if time.monotonic() < _paused_until:
        return None
    try:
        kept = cache.get(_cache_key(caller_id, key))
    except (
        Exception
    ) as error:  # The cache is an optimisation: no failure of it may reach the caller.
        _pause(error)
        return None
    if kept is None or kept["fingerprint"] != request.hex():
        return None
    answer = Answer(kept["status"], kept["body"], uuid.UUID(kept["transaction"]))
    return answer if is_recorded(answer.transaction_id) else None


def keep_answer(*, caller_id: uuid.UUID, key: str, request: bytes, answer: Answer) -> None:
    """Keep a committed answer for retries."""
    if time.monotonic() < _paused_until:
        return
    kept = {
        "fingerprint": request.hex(),
        "status": answer.status,
        "body": answer.body,
        "transaction": str(answer.transaction_id),
    }
    lifetime = int(settings.IDEMPOTENCY_CACHE_LIFETIME.total_seconds())
    try:
        cache.set(_cache_key(caller_id, key), kept, timeout=lifetime)
    except Exception as error:
        _pause(error)


def _cache_key(caller_id: uuid.UUID, key: str) -> str:
    return f"answer:{caller_id}:{hashlib.sha256(key.encode()).hexdigest()}"


def _pause(error: Exception) -> None:
    global _paused_until  # noqa: PLW0603 - one switch per process
    _paused_until = time.monotonic() + _PAUSE_SECONDS
    logger.warning("idempotency_cache_paused", extra={"reason": type(error).__name__})
