"""What the web server loads: the WSGI application behind a buffer for request bodies.

A WSGI thread that reads a body waits for its sender, so a few slow senders stop such a server for
everybody. Here a body is received whole, bounded in size and time, before a thread is taken: a slow
sender costs a socket and a little memory. This speaks RSGI, Granian's own protocol.
"""

import asyncio
import gc
import io
import itertools
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import orjson
from django.conf import settings
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from fintech_core.gathering import Answer, Gathering, Serve, peer_of
from fintech_core.middleware import log_request, request_id_for
from fintech_core.threads import Threads, resolve
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

    def __init__(self, threads: int, gathered: Mapping[str, Serve] | None = None) -> None:
        self._threads = Threads(threads)
        self._gatherings = {path: Gathering(serve) for path, serve in (gathered or {}).items()}
        self._bodies, self._answers = Deadlines(BODY_SECONDS), Deadlines(ANSWER_SECONDS)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Granian calls it before a process serves.

        All views are loaded, so that no first request waits for it. What is loaded stays, so no
        collection of garbage need look at it; and a batch of transfers makes so many objects that the
        usual 700 between two collections are a tenth of its time.
        """
        import_module(settings.ROOT_URLCONF)
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        started = time.perf_counter()
        # Each look at the scope's headers is a copy of them.
        headers = scope.headers
        status, body = await self._receive(headers, protocol)
        if status:
            _refuse(scope, protocol, status, time.perf_counter() - started)
            return
        try:
            answer = await self._answer(scope, headers, body)
        except _Late:
            # The thread goes on and cleans up after itself; its answer has nobody left to hear it.
            _refuse(scope, protocol, 503, time.perf_counter() - started)
            return
        if answer.pieces is None:
            protocol.response_bytes(answer.status, answer.headers, answer.content)
        else:
            await self._stream(protocol, answer, answer.pieces)

    async def _receive(self, headers: Any, protocol: Any) -> tuple[int, bytes]:
        """The body, or the status that refuses it.

        Granian ends a body in silence where its sender breaks off, so only a length tells that it is
        whole (RFC 9112, section 8): a body without one is refused.
        """
        length = headers.get("content-length")
        if length is None:
            return (411, b"") if "transfer-encoding" in headers else (0, b"")
        if not length.isdigit() or int(length) > BODY_BYTES:
            return 413, b""
        reading = protocol()
        wait = self._bodies.start(reading.cancel)
        try:
            body: bytes = await reading
        except asyncio.CancelledError:
            return 408, b""
        except Exception:  # Whatever broke it off, the body is not all there.
            return 400, b""
        finally:
            self._bodies.end(wait)
        return (0, body) if len(body) == int(length) else (400, b"")

    async def _answer(self, scope: Any, headers: Any, body: bytes) -> Answer:
        """What the application answers. Raises ``_Late`` where it has not in time."""
        gathering = self._gatherings.get(scope.path) if scope.method == "POST" else None
        wait = self._answers.start()
        try:
            if gathering is not None:
                answer: Answer | None = await wait.by(gathering.start(scope, headers, body))
                if answer is not None:
                    return answer
            work = partial(_run, _environ(scope, headers, body))
            answer = await wait.by(self._threads.start(work))
        finally:
            self._answers.end(wait)
        assert answer is not None  # noqa: S101  # nosec B101 - for types
        return answer

    async def _stream(self, protocol: Any, answer: Answer, response: HttpResponseBase) -> None:
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


class _Late(Exception):
    """Time was up before there was an answer."""


class Wait:
    """Something that has until ``ends``, by the clock of the loop."""

    __slots__ = ("ends", "give_up")

    def __init__(self, ends: float, give_up: Callable[[], object] | None) -> None:
        self.ends, self.give_up = ends, give_up

    async def by(self, answered: "asyncio.Future[Any]") -> Any:
        """The future's result. Raises ``_Late`` where it has none in time."""
        self.give_up = partial(resolve, answered, _Late())
        return await answered


class Deadlines:
    """Waits that all have the same time: they end in the order in which they began.

    So one timer, for the first of them, does for all. A timer each costs more than the wait.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: dict[Wait, None] = {}
        self._has_timer = False

    def start(self, give_up: Callable[[], object] | None = None) -> Wait:
        """A wait from now on; ``give_up`` is called when its time is over, unless it ended before."""
        loop = asyncio.get_running_loop()
        wait = Wait(loop.time() + self._seconds, give_up)
        self._waits[wait] = None
        if not self._has_timer:
            self._has_timer = True
            loop.call_later(self._seconds, self._look, loop)
        return wait

    def end(self, wait: Wait) -> None:
        """It is over, in time or not."""
        self._waits.pop(wait, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        # A timer may be a little early.
        due = list(itertools.takewhile(lambda wait: wait.ends <= now + 0.01, self._waits))
        for wait in due:
            self.end(wait)
            if wait.give_up is not None:
                wait.give_up()
        self._has_timer = bool(self._waits)
        if self._waits:
            loop.call_at(next(iter(self._waits)).ends, self._look, loop)


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
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ]
    if status in {408, 503}:
        headers.append(("retry-after", "1"))
    protocol.response_bytes(status, headers, orjson.dumps(body))
    log_request(
        request_id=request_id,
        user=None,
        method=scope.method,
        route=None,
        status=status,
        seconds=seconds,
    )


def _environ(scope: Any, headers: Any, body: bytes) -> dict[str, Any]:
    """The WSGI environment of a request (PEP 3333)."""
    server, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": peer_of(scope),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
    }
    told = dict.fromkeys(headers.keys(), _UNREADABLE)
    for name, value in headers.items():
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


def _run(environ: dict[str, Any]) -> Answer:
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
        return Answer(int(line[:3]), headers, b"", response)
    try:
        content = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"".join(response)
    finally:
        response.close()
    return Answer(int(line[:3]), headers, content, None)


application = BufferedApplication(
    settings.WEB_THREADS, {path: import_string(name) for path, name in settings.GATHERED.items()}
)
