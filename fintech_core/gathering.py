"""Requests that are served together: all that wait when a thread is free are read and answered in one go.

Most of what a short request costs under load is not its own work. It is threads that wake and wait for
the interpreter, statements of its own, and a framework that is ready for anything. A route named in
``GATHERED`` has a function that serves many requests at once, by a short way that takes only what is
good and plain. What it leaves goes the ordinary way, which has the words for what is wrong; so there is
one judge of what is refused, and the two ways give the same answers.
"""

import functools
import io
import logging
import threading
import time
from asyncio import Future, get_running_loop
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections, connection
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from fintech_core.lulls import Lull
from fintech_core.middleware import address_of, log_request, request_id_for
from fintech_core.renderers import JSONRenderer

logger = logging.getLogger(__name__)

# The most that are served together.
LARGEST = 128

_JSON = JSONRenderer.media_type


class Arrived(NamedTuple):
    """A request of the plain kind: JSON, each header once, and no query string.

    Names of headers are in lower case. ``client_address`` is what ``middleware.client_address`` says.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    request_id: str
    client_address: str | None


class Served(NamedTuple):
    """What one of them is answered, and the id of the user who asked."""

    status: int
    content: bytes
    content_type: str
    user: str
    headers: Sequence[tuple[str, str]] = ()


# Serves requests: an answer for each, or None where it goes the ordinary way.
Serve = Callable[[Sequence[Arrived]], Sequence[Served | None]]


class Answer(NamedTuple):
    """An answer as it is sent: whole, or in pieces that are still to be made."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes
    pieces: HttpResponseBase | None = None


class _Waiting(NamedTuple):
    scope: Any
    headers: Any
    body: bytes
    began: float
    future: "Future[Answer | None]"


class Gathering:
    """The requests to one route that wait to be served, and the one thread that serves them.

    Two that take turns would make smaller groups, which cost more than the time they save.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._waiting: SimpleQueue[_Waiting] = SimpleQueue()
        self._lull = Lull()
        self._are_started = False

    def start(self, scope: Any, headers: Any, body: bytes) -> "Future[Answer | None]":
        """Have it served; the future, of the running loop, tells the answer, or None."""
        future: Future[Answer | None] = get_running_loop().create_future()
        self._waiting.put(_Waiting(scope, headers, body, time.perf_counter(), future))
        if not self._are_started:
            self._are_started = True
            threading.Thread(target=self._run, name="gathering", daemon=True).start()
        return future

    def _run(self) -> None:
        while True:
            gathered = self._take()
            self._answer(gathered)
            del gathered

    def _take(self) -> list[_Waiting]:
        """All that wait; one at least."""
        gathered = [self._waiting.get()]
        self._lull.wait(self._waiting.qsize)
        with suppress(Empty):
            while len(gathered) < LARGEST:
                gathered.append(self._waiting.get_nowait())
        self._lull.served(len(gathered))
        # Where time was up while it waited nobody hears of it any more.
        return [each for each in gathered if not each.future.done()]

    def _answer(self, gathered: list[_Waiting]) -> None:
        answers: list[Answer | None] = [None] * len(gathered)
        try:
            answers = self._answers_to(gathered)
        except BaseException as error:  # Whatever it is, the one thread there is lives on.
            # The ordinary way tells what is wrong, to each by itself.
            logger.warning("not_served_together", exc_info=error)
        finally:
            # Else it stays open: to ask whether it is alive before each use takes as long as to use it.
            if connection.errors_occurred:
                close_old_connections()
        if gathered:
            futures = [each.future for each in gathered]
            loop = futures[0].get_loop()
            with suppress(RuntimeError):  # The loop is closed: the process is about to end.
                loop.call_soon_threadsafe(_settle, futures, answers)

    def _answers_to(self, gathered: list[_Waiting]) -> list[Answer | None]:
        read = [_arrived(each.scope, each.headers, each.body) for each in gathered]
        served = iter(self._serve([each for each in read if each]))
        answers: list[Answer | None] = []
        for waiting, arrived in zip(gathered, read, strict=True):
            one = next(served) if arrived else None
            answers.append(_whole(waiting, arrived, one) if arrived and one else None)
        return answers


def _settle(futures: list["Future[Answer | None]"], answers: list[Answer | None]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if not future.done():
            future.set_result(answer)


def _arrived(scope: Any, sent: Any, body: bytes) -> Arrived | None:
    """The request, where it is of the plain kind; ``sent`` are its headers."""
    items = sent.items()
    headers = dict(items)
    # Fewer names than headers: one came twice. More names: one's value is not ASCII, and left out.
    is_plain = (
        len(items) == len(headers) == len(sent)
        and headers.get("content-type") == _JSON
        and headers.get("accept", "*/*") in {"*/*", _JSON}
        and "content-encoding" not in headers
        and not scope.query_string
        and len(body) <= settings.MAX_BODY_BYTES
        and _is_ours(headers.get("host", ""))
    )
    if not is_plain:
        return None
    return Arrived(
        path=scope.path,
        headers=headers,
        body=body,
        request_id=request_id_for(headers.get("x-request-id", "")),
        client_address=address_of(peer_of(scope), headers.get("x-forwarded-for")),
    )


def peer_of(scope: Any) -> str:
    """The address that the connection came from."""
    peer: str = scope.client.rpartition(":")[0]
    return peer.strip("[]")


def _whole(waiting: _Waiting, arrived: Arrived, served: Served) -> Answer:
    """The answer with the headers that all answers have; and its line in the log."""
    forwarded = arrived.headers.get("x-forwarded-proto")
    headers = [
        ("Content-Type", served.content_type),
        *_standing_headers(waiting.scope.scheme, forwarded),
        ("X-Request-ID", arrived.request_id),
        *served.headers,
    ]
    # Where time was up meanwhile it was answered, and logged, as late.
    if not waiting.future.done():
        log_request(
            request_id=arrived.request_id,
            user=served.user,
            method="POST",
            route=arrived.path,
            status=served.status,
            seconds=time.perf_counter() - waiting.began,
        )
    return Answer(served.status, headers, served.content)


@functools.lru_cache(maxsize=256)
def _is_ours(host: str) -> bool:
    """Whether a request to this host is for us, as Django judges it."""
    try:
        _bare_request(HTTP_HOST=host).get_host()
    except DisallowedHost:
        return False
    return True


@functools.lru_cache(maxsize=64)
def _standing_headers(scheme: str, forwarded: str | None) -> list[tuple[str, str]]:
    """What DRF and the middleware of the ordinary way add to each answer of such a view."""
    told = {} if forwarded is None else {"HTTP_X_FORWARDED_PROTO": forwarded}
    request = _bare_request(**{"wsgi.url_scheme": scheme, **told})
    answer = HttpResponse(headers={"Allow": "POST, OPTIONS", "Cache-Control": "no-store"})
    del answer["Content-Type"]
    for middleware in (XFrameOptionsMiddleware, SecurityMiddleware):
        middleware(lambda _: answer)(request)
    return list(answer.items())


def _bare_request(**environ: Any) -> WSGIRequest:
    return WSGIRequest({"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(), **environ})
