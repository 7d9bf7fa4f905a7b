"""A receiver of webhooks: notes when each came, answers 200 at once, and verifies them when it is asked.

Run by the runner as ``python -m benchmarks.receiver``; see ``benchmarks.orders``. One loop in a thread
of a process of its own, which reads no more of a request than it must while others wait.
"""

import asyncio
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.orders import obey
from fintech_core.signing import InvalidMessage, verify

HOST = "127.0.0.1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came, and when all of it was there (``time.monotonic()``)."""

    head: bytes
    body: bytes
    at: float


class _Connection(asyncio.Protocol):
    """Reads requests one after the other, each with a length."""

    def __init__(self, requests: list[Request]) -> None:
        self._requests = requests
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if end and len(rest) >= length:
            self._requests.append(Request(head, rest[:length], time.monotonic()))
            self._received = rest[length:]
            self._transport.write(OK)


class Receiver:
    """Listens on a port of its own; a path for each endpoint, by which its secret is known."""

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._cpu = self._began = 0.0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def listen(self) -> int:
        """Begin; returns the port."""
        server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return int(server.sockets[0].getsockname()[1])

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(
            lambda: _Connection(self._requests), HOST, 0, backlog=512
        )

    def begin(self) -> None:
        """Forget what came; what comes from now on is a turn's."""
        self._requests.clear()
        self._cpu, self._began = time.process_time(), time.monotonic()

    def wait(self, count: int, seconds: float) -> dict[str, Any]:
        """Wait until so many requests have come, at most so long; ``cpu`` as in ``Turn``."""
        deadline = time.monotonic() + seconds
        while len(self._requests) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        elapsed = time.monotonic() - self._began
        return {"count": len(self._requests), "cpu": (time.process_time() - self._cpu) / elapsed}

    def tell(self, secrets: dict[str, str]) -> list[tuple[str, float, str]]:
        """Of each request: which transaction it tells of, when it came, what is wrong with it.

        ``secrets`` are those of the endpoints, by path.
        """
        return [_judge(request, secrets) for request in list(self._requests)]


def _judge(request: Request, secrets: dict[str, str]) -> tuple[str, float, str]:
    first, *lines = request.head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    trouble = ""
    try:
        identity = verify([secrets[first.split(" ")[1]]], headers, request.body)
    except (InvalidMessage, KeyError):
        return "", request.at, "not signed by the endpoint's secret"
    told = json.loads(request.body)
    if told["id"] != identity or told["type"] != "transaction.posted":
        trouble = "another event"
    return str(told["data"]["id"]), request.at, trouble


def main() -> None:
    """Obey the runner's orders."""
    receiver = Receiver()
    obey(
        {
            "listen": receiver.listen,
            "begin": receiver.begin,
            "wait": receiver.wait,
            "tell": receiver.tell,
        }
    )


if __name__ == "__main__":
    main()
