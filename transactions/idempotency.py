"""Idempotency keys: their form, the fingerprint of a request, and what is answered.

What a key was used for is told by PostgreSQL alone (``transactions.services``).
"""

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from transactions.declines import IdempotencyKeyRequired, InvalidIdempotencyKey

_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
# Stored fingerprints decide replays: what this writes may never change.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


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
    canonical = _canonical_of_texts(content) or _CANONICAL.encode(content).encode()
    return hashlib.sha256(f"{method} {path}\n".encode() + canonical).digest()


def _canonical_of_texts(content: dict[str, Any]) -> bytes | None:
    """The same bytes, quicker, where all members are text in ASCII; None where they may differ.

    The two writers part over floats, over what is not ASCII (one escapes it, the other does not) and
    over DEL, which is.
    """
    if not all(type(value) is str for value in content.values()):
        return None
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # A lone surrogate.
        return None
    return text if text.isascii() and b"\x7f" not in text else None


@dataclass(frozen=True, slots=True)
class Answer:
    """A first answer: status and body, and the transaction it tells of."""

    status: int
    body: dict[str, Any]
    transaction_id: uuid.UUID
