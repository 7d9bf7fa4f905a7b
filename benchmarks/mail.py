"""What the simulated provider would tell: events that are signed as they are sent, some of them again."""

import datetime
import json
import random
import secrets
import time
import uuid

from fintech_core.signing import sign

# How a rung of intake is called: all events new, or so many of a hundred sent a second time or more.
NEW = "new events"
AGAIN = "30 % again"
_SHARE_SENT_AGAIN = {NEW: 0.0, AGAIN: 0.3}


class Mail:
    """The requests of one turn, and which of the events were accepted.

    Each event tells that a payment is under way, in the words of ``simulator/``.
    """

    def __init__(self, *, port: int, path: str, secret: str, rung: str) -> None:
        self.accepted: set[str] = set()
        self._port, self._path, self._secret = port, path, secret
        self._share = _SHARE_SENT_AGAIN[rung]
        self._chance = random.Random(secrets.randbits(64))
        self._sent: list[tuple[str, bytes]] = []
        self._under_way: dict[int, str] = {}

    def request(self, number: int) -> bytes:
        """The next request of a connection, signed now."""
        if self._sent and self._chance.random() < self._share:
            identity, body = self._chance.choice(self._sent)
        else:
            identity, body = _event()
            self._sent.append((identity, body))
        self._under_way[number] = identity
        at = int(time.time())
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"webhook-id: {identity}\r\nwebhook-timestamp: {at}\r\n"
            f"webhook-signature: {sign(self._secret, identity, at, body)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def judge(self, number: int, status: int, body: bytes) -> tuple[int, list[str]]:
        """Whether the connection's event was accepted, and a word where it was not."""
        if status != 200 or not json.loads(body).get("received"):
            return 0, [f"HTTP {status}"]
        self.accepted.add(self._under_way[number])
        return 1, []


def _event() -> tuple[str, bytes]:
    identity = f"evt_{secrets.token_hex(12)}"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    payment = {
        "id": f"pay_{secrets.token_hex(12)}",
        "object": "payment",
        "merchant_reference": str(uuid.uuid4()),
        "amount": 1_250,
        "currency": "USD",
        "status": "processing",
        "failure_code": "",
        "refunded_amount": 0,
        "created": now,
        "updated": now,
    }
    told = {"id": identity, "type": "payment.processing", "created": now, "data": payment}
    return identity, json.dumps(told, separators=(",", ":")).encode()
