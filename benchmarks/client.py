"""The HTTP load: kept-alive connections on raw sockets, driven by one loop in a process of its own.

Run by the runner as ``python -m benchmarks.client``; see ``benchmarks.orders``. A client that parses and
awaits as applications do would cost as much as the server; this one reads a status and a length.
"""

import json
import os
import random
import selectors
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.mail import Mail
from benchmarks.orders import obey
from benchmarks.workload import draw

WAIT = 30.0
# The next request of a connection; and how many transfers or events its answer says were taken, with a
# word for each that was not.
Asking = Callable[[int], bytes]
Judging = Callable[[int, int, bytes], tuple[int, list[str]]]


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask for what: ``speaks`` is ``ours`` or ``bare``, with a token and a name for each account;
    or ``events``, with the secret that signs them."""

    speaks: str
    port: int
    path: str
    tokens: list[str]
    names: list[str]
    secret: str = ""


@dataclass(slots=True)
class Talk:
    """One connection and its request under way."""

    number: int
    socket: socket.socket
    began: float = 0.0
    received: bytearray = field(default_factory=bytearray)


class Load:
    """The connections of this process to one target."""

    def __init__(self) -> None:
        self._target: Target | None = None
        self._accepted: set[str] = set()

    def aim(self, **facts: Any) -> None:
        self._target = Target(**facts)

    def run(
        self, rung: str, connections: int, size: int, seconds: float, accounts: int
    ) -> dict[str, Any]:
        """Ask on every connection, one request after the other, for so many seconds."""
        assert self._target is not None
        target, chance = self._target, random.Random(os.urandom(8))
        if target.speaks == "events":
            mail = Mail(port=target.port, path=target.path, secret=target.secret, rung=rung)
            answer = _load(target, connections, seconds, mail.request, mail.judge)
            self._accepted |= mail.accepted
            return answer

        def request(number: int) -> bytes:
            return _request(
                target,
                size,
                lambda: draw(
                    rung, caller=number, callers=connections, accounts=accounts, chance=chance
                ),
                chance,
            )

        def judge(_: int, status: int, body: bytes) -> tuple[int, list[str]]:
            return _judge(status, body, size)

        return _load(target, connections, seconds, request, judge)

    def accepted(self) -> list[str]:
        """The ids of all events that were accepted so far."""
        return sorted(self._accepted)


def _load(
    target: Target, connections: int, seconds: float, request: Asking, judge: Judging
) -> dict[str, Any]:
    """All connections for so many seconds, after one request each that is not measured."""
    talks = [
        Talk(number, socket.create_connection(("127.0.0.1", target.port), timeout=WAIT))
        for number in range(connections)
    ]
    warmed, warming = _drive(talks, request, judge, 0.0)
    cpu, start = time.process_time(), time.monotonic()
    posted, problems = _drive(talks, request, judge, seconds)
    elapsed = time.monotonic() - start
    for talk in talks:
        talk.socket.close()
    return {
        "posted": sum(count for count, _ in posted),
        "made": sum(count for count, _ in warmed + posted),
        "seconds": elapsed,
        "latencies": [ms for _, ms in posted],
        "problems": problems + warming,
        "cpu": (time.process_time() - cpu) / elapsed,
    }


def _drive(
    talks: list[Talk], request: Asking, judge: Judging, seconds: float
) -> tuple[list[tuple[int, float]], Counter[str]]:
    """(posted transfers, ms) of each request, and what went wrong; one request each at least."""
    done: list[tuple[int, float]] = []
    problems: Counter[str] = Counter()
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for talk in talks:
            selector.register(talk.socket, selectors.EVENT_READ, talk)
            _ask(talk, request)
        while selector.get_map():
            ready = selector.select(WAIT)
            if not ready:
                problems["no answer"] += len(selector.get_map())
                break
            for key, _ in ready:
                talk = key.data
                answer = _answer(talk)
                if answer is None:
                    continue
                now = time.monotonic()
                posted, words = judge(talk.number, *answer)
                problems.update(words)
                done.append((posted, (now - talk.began) * 1000))
                if now < until and answer[0] != 0:
                    _ask(talk, request)
                else:
                    selector.unregister(talk.socket)
    return done, problems


def _ask(talk: Talk, request: Asking) -> None:
    talk.received.clear()
    message = request(talk.number)
    talk.began = time.monotonic()
    talk.socket.sendall(message)


def _answer(talk: Talk) -> tuple[int, bytes] | None:
    """The status and body once they are there in full; status 0 where the connection broke."""
    received = talk.socket.recv(262_144)
    if not received:
        return 0, b""
    talk.received += received
    end = talk.received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(talk.received[:end]).lower()
    _, _, rest = head.partition(b"content-length:")
    if not rest:
        return 0, b"an answer without a length"
    length = int(rest.split(b"\r\n", 1)[0])
    if len(talk.received) < end + 4 + length:
        return None
    return int(head[9:12]), bytes(talk.received[end + 4 :])


def _judge(status: int, body: bytes, size: int) -> tuple[int, list[str]]:
    """How many transfers an answer says were posted, and a word for each that was not."""
    if status not in {200, 201}:
        return 0, [f"HTTP {status}"] * size
    told = json.loads(body)
    posted = told.get("posted", int(told.get("status") == "posted"))
    return posted, ["not posted"] * (size - posted)


def _request(
    target: Target, size: int, next_transfer: Callable[[], Any], chance: random.Random
) -> bytes:
    """A batch is one payer's, so its transfers share the first one's token."""
    transfers = [next_transfer() for _ in range(size)]
    payer = transfers[0].payer
    recipients = [each.recipient if each.recipient != payer else each.payer for each in transfers]
    bodies = [_body(target, recipient, chance) for recipient in recipients]
    content: Any = bodies
    if size == 1:
        content = bodies[0]
    elif target.speaks == "ours":
        content = {"mode": "independent", "transfers": bodies}
    text = json.dumps(content, separators=(",", ":")).encode()
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        f"Authorization: Bearer {target.tokens[payer]}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def _body(target: Target, recipient: int, chance: random.Random) -> dict[str, Any]:
    if target.speaks == "bare":
        return {"key": chance.randrange(1, 9 * 10**18), "to": recipient}
    key = uuid.uuid4().hex
    return {"to_user_email": target.names[recipient], "amount": "0.01", "idempotency_key": key}


def main() -> None:
    """Obey the runner's orders."""
    load = Load()
    obey({"aim": load.aim, "run": load.run, "accepted": load.accepted})


if __name__ == "__main__":
    main()
