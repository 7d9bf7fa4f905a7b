"""What the web server loads: the WSGI application behind a buffer for request bodies.

A WSGI thread that reads a body waits for its sender, so a few slow senders stop such a server for
everybody. Here a body is received whole, bounded in size and time, before a thread is taken: a slow
sender costs a socket and a little memory. This speaks RSGI, Granian's own protocol.
"""

import asyncio
import io
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from django.conf import settings
from django.http.response import HttpResponseBase

from fintech_core.middleware import log_request, request_id_for
from fintech_core.wsgi import application as wsgi_application

# A body has this long to arrive, and is never larger than the largest that any view takes.
BODY_SECONDS = 10.0
BODY_BYTES = 12 * 1024 * 1024
SEND_SECONDS = 30.0

_REFUSALS = {
    408: ("request_timeout", "The body did not arrive in time."),
    413: ("body_too_large", "The body is too large."),
}


class BufferedApplication:
    """An RSGI application that runs a WSGI one in threads, each on requests that are there in full."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="web")

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        started = time.perf_counter()
        status, body = await _receive(scope, protocol)
        if status:
            _refuse(scope, protocol, status, time.perf_counter() - started)
            return
        loop = asyncio.get_running_loop()
        environ = _environ(scope, body)
        await loop.run_in_executor(self._threads, _respond, environ, protocol, loop)


async def _receive(scope: Any, protocol: Any) -> tuple[int, bytes]:
    """The body, or the status that refuses it."""
    length = scope.headers.get("content-length")
    if length is None and "transfer-encoding" not in scope.headers:
        return 0, b""
    if length is not None and (not length.isdigit() or int(length) > BODY_BYTES):
        return 413, b""
    # wait() needs no task of its own to be cancelled in, which Granian's scheduler does not give.
    reading = asyncio.ensure_future(_read(protocol))
    await asyncio.wait({reading}, timeout=BODY_SECONDS)
    if not reading.done():
        reading.cancel()
        return 408, b""
    if reading.exception() is not None:
        return 408, b""  # The sender went away.
    body = reading.result()
    return (413, b"") if body is None else (0, body)


async def _read(protocol: Any) -> bytes | None:
    body = bytearray()
    async for chunk in protocol:
        body += chunk
        if len(body) > BODY_BYTES:
            return None
    return bytes(body)


def _refuse(scope: Any, protocol: Any, status: int, seconds: float) -> None:
    """Answer without the application: it never sees a request that is not there in full."""
    from fintech_core.problems import PROBLEM_TYPE, problem

    request_id = request_id_for(scope.headers.get("x-request-id") or "")
    code, title = _REFUSALS[status]
    body = problem(status, code, title, retryable=status == 408, request_id=request_id)
    headers = [
        ("content-type", PROBLEM_TYPE),
        ("x-request-id", request_id),
        ("connection", "close"),
    ]
    protocol.response_bytes(status, headers, orjson.dumps(body))
    log_request(
        request_id=request_id,
        user=None,
        method=scope.method,
        route=None,
        status=status,
        seconds=seconds,
    )


def _environ(scope: Any, body: bytes) -> dict[str, Any]:
    """The WSGI environment of a request (PEP 3333)."""
    client, _, _ = scope.client.rpartition(":")
    server, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": client.strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in scope.headers.items():
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value
        elif key != "CONTENT_LENGTH" and "_" not in name:
            key = f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    if scope.authority and "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority
    return environ


def _respond(environ: dict[str, Any], protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Run the application in this thread and hand its answer to the server."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda _: None

    response = wsgi_application(environ, start_response)
    try:
        [(line, headers)] = started
        status = int(line[:3])
        if response.streaming:
            _stream(protocol, status, headers, response, loop)
        else:
            content = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"".join(response)
            protocol.response_bytes(status, headers, content)
    finally:
        response.close()


def _stream(
    protocol: Any,
    status: int,
    headers: list[tuple[str, str]],
    response: HttpResponseBase,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Send a long answer piece by piece, no faster than the client takes it."""
    transport = protocol.response_stream(status, headers)

    async def send(piece: bytes) -> None:
        await transport.send_bytes(piece)

    for piece in response:
        asyncio.run_coroutine_threadsafe(send(bytes(piece)), loop).result(SEND_SECONDS)


application = BufferedApplication(settings.WEB_THREADS)
