"""HTTP calls to a provider that end by a deadline, however slowly it answers.

httpx bounds each read: a peer that sends a byte now and then could hold a thread for hours.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
TOTAL_SECONDS = 15.0
LARGEST_ANSWER = 32 * 1024 * 1024
# So many threads of a process wait for one provider at most, and the next one that long for its turn: a
# provider that hangs leaves the other threads to everybody else.
CALLS_AT_ONCE = 8
TURN_SECONDS = 1.0

# What may go wrong on the way to a peer and back.
TRANSPORT_FAILURES = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)

_until = threading.local()


class TooMuch(Exception):
    """The provider took longer, or sent more, than it may."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Everything this thread waits for inside, through a ``bounded_client``, ends by then."""
    before: float | None = getattr(_until, "moment", None)
    mine = time.monotonic() + seconds
    _until.moment = mine if before is None else min(before, mine)
    try:
        yield
    finally:
        _until.moment = before


def bounded_client(base_url: str, headers: dict[str, str]) -> httpx.Client:
    """A pool of connections for all threads: no redirects, no proxy from the environment, all waits
    bounded by ``deadline``."""
    pool = httpcore.ConnectionPool(
        # Reading all authorities costs time and memory that a peer on this machine is not worth.
        ssl_context=httpx.create_ssl_context() if base_url.startswith("https:") else None,
        max_connections=CALLS_AT_ONCE,
        max_keepalive_connections=CALLS_AT_ONCE,
        keepalive_expiry=30.0,
        network_backend=_Backend(),
    )
    return httpx.Client(
        base_url=base_url,
        headers=headers,
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=TURN_SECONDS),
        transport=_Transport(pool),
        follow_redirects=False,
        trust_env=False,
    )


def read_bounded(response: httpx.Response, most: int = LARGEST_ANSWER) -> bytes:
    """The whole body, or ``TooMuch``."""
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > most:
            raise TooMuch
    return b"".join(parts)


class _Stream(httpcore.NetworkStream):
    """A connection that waits no longer than the thread's deadline."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _bounded(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _bounded(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _bounded(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        opened = super().connect_tcp(host, port, _bounded(timeout), local_address, socket_options)
        return _Stream(opened)


class _Transport(httpx.BaseTransport):
    """httpx over a pool of our own making."""

    def __init__(self, pool: httpcore.ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        stream = answer.stream
        if not isinstance(stream, Iterable):
            raise TypeError("The pool is not a synchronous one.")
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(stream),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, inner: Iterable[bytes]) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        yield from self._inner

    def close(self) -> None:
        close = getattr(self._inner, "close", None)
        if close is not None:
            close()


def _bounded(timeout: float | None) -> float | None:
    moment: float | None = getattr(_until, "moment", None)
    if moment is None:
        return timeout
    left = moment - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("The deadline is over.")
    return left if timeout is None else min(timeout, left)
