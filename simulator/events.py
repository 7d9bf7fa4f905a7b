"""Events: each is stored with the step it tells of, and with every delivery of it that is planned."""

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from simulator.behaviour import COPIES, LATE_SECONDS, SHUFFLE_SECONDS

# How far from its end an object is: an event waits so many pauses when events are shuffled.
TURNED_AROUND = {"created": 2, "processing": 1, "in_transit": 1}


def record(
    database: sqlite3.Connection,
    event_type: str,
    told: Mapping[str, Any],
    behaviours: frozenset[str],
) -> None:
    """Store an event and plan its deliveries; what the control says now counts, too."""
    behaviours |= control_names(database)
    now = time.time()
    identity, body = _compose(event_type, told, now)
    database.execute(
        "INSERT INTO events (id, type, object, body) VALUES (?, ?, ?, ?)",
        (identity, event_type, told["id"], body),
    )
    if "no_events" in behaviours:
        return
    at = now + _delay(event_type, behaviours)
    if "forge" in behaviours:
        lie = {**told, "object": "payment", "status": "succeeded"}
        _plan(database, *_compose("payment.succeeded", lie, now), signing="forged", at=at)
    signing = "old" if "old_signature" in behaviours else "right"
    for _ in range(COPIES if "duplicate" in behaviours else 1):
        _plan(database, identity, body, signing=signing, at=at)


def control_names(database: sqlite3.Connection) -> frozenset[str]:
    """The behaviours that hold for everything."""
    row = database.execute("SELECT value FROM control WHERE name = 'behaviours'").fetchone()
    return frozenset(row["value"].split()) if row else frozenset()


def _compose(event_type: str, told: Mapping[str, Any], now: float) -> tuple[str, str]:
    identity = f"evt_{secrets.token_hex(12)}"
    body = {"id": identity, "type": event_type, "created": told["updated"], "data": told}
    return identity, json.dumps(body, separators=(",", ":"))


def _delay(event_type: str, behaviours: frozenset[str]) -> float:
    delay = 0.0
    if "late_events" in behaviours:
        delay += LATE_SECONDS
    if "shuffle" in behaviours:
        delay += SHUFFLE_SECONDS * TURNED_AROUND.get(event_type.partition(".")[2], 0)
    if behaviours & {"die", "die_unanswered"}:
        # Not before the program is dead.
        delay = max(delay, 0.5)
    return delay


def _plan(
    database: sqlite3.Connection, identity: str, body: str, *, signing: str, at: float
) -> None:
    database.execute(
        "INSERT INTO deliveries (event, body, signing, next_at) VALUES (?, ?, ?, ?)",
        (identity, body, signing, at),
    )
