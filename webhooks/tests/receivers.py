"""Receivers of webhooks: real HTTP servers on 127.0.0.1 that verify by the library of the standard."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

Answer = tuple[int, dict[str, str]]


@dataclass
class Received:
    """One request, verified with the receiver's secret where it has one."""

    headers: dict[str, str]
    body: bytes
    path: str
    payload: dict[str, Any]
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def signatures(self) -> list[str]:
        return self.headers["webhook-signature"].split()


@dataclass
class Receiver:
    """Answers 200 unless ``answers`` says otherwise, one after the other; keeps what it got."""

    port: int = 0
    secret: str = ""
    answers: list[Answer] = field(default_factory=list)
    delay: float = 0
    received: list[Received] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        return [received.id for received in self.received]

    def types(self) -> list[str]:
        return [received.payload["type"] for received in self.received]


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            payload: dict[str, Any] = {}
            try:
                if receiver.secret:
                    payload = Webhook(receiver.secret).verify(body, headers)
            except Exception as error:
                receiver.refused.append(str(error))
            receiver.received.append(Received(headers, body, self.path, payload, time.time()))
            receiver.on_request()
            time.sleep(receiver.delay)
            status, more = receiver.answers.pop(0) if receiver.answers else (200, {})
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A sender that has gone away is no news."""


@contextmanager
def receiver(**options: Any) -> Iterator[Receiver]:
    """A receiver on a port of its own, until the block ends."""
    made = Receiver(**options)
    server = _Server(("127.0.0.1", 0), _handler(made))
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does with each connection what it is told; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def run(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection)

    def accept() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=run, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stopped.set()
        listener.close()
