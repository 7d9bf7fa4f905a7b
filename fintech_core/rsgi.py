"""What the web server loads: the WSGI application behind a buffer for request bodies.

A WSGI thread that reads a body waits for its sender, so a few slow senders stop such a server for
everybody. Here a body is received whole, bounded in size and time, before a thread is taken: a slow
sender costs a socket and a little memory. This speaks RSGI, Granian's own protocol.
"""

import asyncio
import io
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

import orjson
from django.conf import settings
from django.http.response import HttpResponseBase

from fintech_core.middleware import log_request, request_id_for
from fintech_core.wsgi import application as wsgi_application

logger = logging.getLogger(__name__)

# A body has this long to arrive, and is never larger than the largest that any view takes.
BODY_SECONDS = 10.0
BODY_BYTES = 12 * 1024 * 1024
# An answer is begun within this, whatever the database does; each piece of a long one is taken in time.
ANSWER_SECONDS = 20.0
SEND_SECONDS = 30.0

# Stands for a header's value that is not ASCII, which Granian leaves out: it was sent, and is not taken
# for one that was not.
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"

_REFUSALS = {
    400: ("incomplete_body", "The body ended before its Content-Length."),
    408: ("request_timeout", "The body did not arrive in time."),
    411: ("length_required", "Send the body with a Content-Length."),
    413: ("body_too_large", "The body is too large."),
    503: (
        "outcome_unknown",
        "No answer in time; repeat the request with the same idempotency key.",
    ),
}


class BufferedApplication:
    """An RSGI application that runs a WSGI one in threads, each on requests that are there in full."""

    def __init__(self, threads: int) -> None:
        self._threads = Threads(threads)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        started = time.perf_counter()
        status, body = await _receive(scope, protocol)
        if status:
            _refuse(scope, protocol, status, time.perf_counter() - started)
            return
        answer = await self._answer(_environ(scope, body))
        if answer is None:
            # The thread goes on and cleans up after itself; its answer has nobody left to hear it.
            _refuse(scope, protocol, 503, time.perf_counter() - started)
        elif answer.pieces is None:
            protocol.response_bytes(answer.status, answer.headers, answer.content)
        else:
            await self._stream(protocol, answer, answer.pieces)

    async def _answer(self, environ: dict[str, Any]) -> "_Answer | None":
        """What the application answers, or None where it has not in time."""
        answered = self._threads.start(partial(_run, environ))
        timer = answered.get_loop().call_later(ANSWER_SECONDS, _settle, answered, None)
        try:
            answer: _Answer | None = await answered
        finally:
            timer.cancel()
        return answer

    async def _stream(self, protocol: Any, answer: "_Answer", response: HttpResponseBase) -> None:
        """Send a long answer piece by piece, no faster than the client takes it.

        A thread is held only while it makes a piece: a slow reader costs a socket and one piece's
        memory. Each piece is taken in time, or the rest is not made; so, too, when the client leaves.
        """
        transport = protocol.response_stream(answer.status, answer.headers)
        pieces = iter(response)
        try:
            while (piece := await self._threads.start(partial(next, pieces, None))) is not None:
                await _in_time(transport.send_bytes(bytes(piece)), SEND_SECONDS)
        except Exception as error:
            # The status is sent already. What ends the content is not, and that tells.
            logger.warning("answer_broken_off", extra={"reason": type(error).__name__})
        finally:
            # It ends when nothing holds it any more: an error's frames would.
            del transport
            await self._threads.start(response.close)


class Threads:
    """So many threads that do what they are given, first come, first served.

    A bare queue and bare futures: an executor's own futures, ``asyncio.wait`` and the tasks it makes cost
    more than all else between the socket and Django.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._waiting: SimpleQueue[tuple[Callable[[], object], asyncio.Future[Any]]] = SimpleQueue()
        self._are_started = False

    def start(self, work: Callable[[], object]) -> "asyncio.Future[Any]":
        """Have a thread do the work; the future, of the running loop, tells what came of it."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.put((work, future))
        if not self._are_started:
            self._are_started = True
            for number in range(self._number):
                threading.Thread(target=self._serve, name=f"web-{number}", daemon=True).start()
        return future

    def _serve(self) -> None:
        while True:
            work, future = self._waiting.get()
            if future.done():
                continue  # Time was up while it waited its turn: nobody hears of it any more.
            result: object
            try:
                result = work()
            except BaseException as error:  # Whoever waits for it is told; the thread lives on.
                result = error
            with suppress(RuntimeError):  # The loop is closed: the process is about to end.
                future.get_loop().call_soon_threadsafe(_settle, future, result)
            del work, future, result


async def _in_time(sending: Awaitable[object], seconds: float) -> None:
    """Wait for it; raises ``TimeoutError`` when it takes longer."""

    async def send() -> None:
        await sending

    # wait() needs no task of its own to be cancelled in, which Granian's scheduler does not give.
    sent = asyncio.ensure_future(send())
    await asyncio.wait({sent}, timeout=seconds)
    if not sent.done():
        sent.cancel()
        raise TimeoutError
    sent.result()


def _settle(future: "asyncio.Future[Any]", result: object) -> None:
    """Give the future its result, unless time was up before."""
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


async def _receive(scope: Any, protocol: Any) -> tuple[int, bytes]:
    """The body, or the status that refuses it.

    Granian ends a body in silence where its sender breaks off, so only a length tells that it is whole
    (RFC 9112, section 8): a body without one is refused.
    """
    length = scope.headers.get("content-length")
    if length is None:
        return (411, b"") if "transfer-encoding" in scope.headers else (0, b"")
    if not length.isdigit() or int(length) > BODY_BYTES:
        return 413, b""
    reading = protocol()
    timer = asyncio.get_running_loop().call_later(BODY_SECONDS, reading.cancel)
    try:
        body: bytes = await reading
    except asyncio.CancelledError:
        return 408, b""
    except Exception:  # Whatever broke it off, the body is not all there.
        return 400, b""
    finally:
        timer.cancel()
    return (0, body) if len(body) == int(length) else (400, b"")


def _refuse(scope: Any, protocol: Any, status: int, seconds: float) -> None:
    """Answer without the application: it never sees a request that is not there in full."""
    from fintech_core.problems import PROBLEM_TYPE, problem

    request_id = request_id_for(scope.headers.get("x-request-id") or "")
    code, title = _REFUSALS[status]
    body = problem(status, code, title, retryable=status in {408, 503}, request_id=request_id)
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
    told = dict.fromkeys(scope.headers.keys(), _UNREADABLE)
    for name, value in scope.headers.items():
        told.pop(name, None)
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value
        elif key != "CONTENT_LENGTH" and "_" not in name:
            key = f"HTTP_{key}"
            environ[key] = f"{environ[key]}, {value}" if key in environ else value
    for name, value in told.items():
        environ.setdefault(f"HTTP_{name.upper().replace('-', '_')}", value)
    if scope.authority and "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority
    return environ


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the application answered: whole, or in pieces that are still to be made."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes
    pieces: HttpResponseBase | None


def _run(environ: dict[str, Any]) -> _Answer:
    """Run the application in this thread."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda _: None

    response = wsgi_application(environ, start_response)
    [(line, headers)] = started
    if response.streaming and environ["REQUEST_METHOD"] != "HEAD":
        return _Answer(int(line[:3]), headers, b"", response)
    try:
        content = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"".join(response)
    finally:
        response.close()
    return _Answer(int(line[:3]), headers, content, None)


application = BufferedApplication(settings.WEB_THREADS)
