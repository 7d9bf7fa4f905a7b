"""HTTP: reads a request whole, lets the API answer it, and does to the answer what was asked for."""

import http.server
import os
import signal
import socket
import struct
import sys
import threading
import time
import urllib.parse
from http import HTTPStatus
from typing import Any

from simulator.api import Answer, Api, Request, problem
from simulator.behaviour import SLOW_SECONDS, TIMEOUT_SECONDS
from simulator.delivery import complain

LARGEST_BODY = 64 * 1024
MOST_CONNECTIONS = 256
IDLE_SECONDS = 60.0


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection, up to a bound; those beyond it are closed at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: Api) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.api = api
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Without the look-up of our own name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_port = self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread where there is a place."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the place back at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; nothing of what it sent is logged."""
        error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
        if not isinstance(error, OSError):
            complain(f"A request failed: {type(error).__name__}: {error}")


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "fintech-simulator"
    sys_version = ""
    timeout = IDLE_SECONDS
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self._send(problem(411, "length_required", "Send a Content-Length."))
            return
        if int(length) > LARGEST_BODY:
            self.close_connection = True
            self._send(problem(413, "too_large", "The body is too large."))
            return
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(length))
        request = Request(self.command, parts.path, query, headers, body)
        try:
            answer = self.server.api.answer(request)
        except Exception as error:
            complain(f"{self.command} failed: {type(error).__name__}: {error}")
            answer = problem(500, "internal_error", "Something went wrong.")
        self._meet_fate(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _meet_fate(self, answer: Answer) -> None:
        if "die_unanswered" in answer.fates:
            os.kill(os.getpid(), signal.SIGKILL)
        if "cut" in answer.fates:
            # A reset instead of a goodbye.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if "timeout" in answer.fates:
            time.sleep(TIMEOUT_SECONDS)
        elif "slow" in answer.fates:
            time.sleep(SLOW_SECONDS)
        self._send(answer)
        if "die" in answer.fates:
            os.kill(os.getpid(), signal.SIGKILL)

    def _send(self, answer: Answer) -> None:
        self.send_response(HTTPStatus(answer.status))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """No line for a request: its path may hold the address of a checkout."""
