"""One HTTP request to a stranger's server, bounded in time and size, to an address that was judged.

No redirect is followed, no cookie kept, no proxy of the environment used; of the answer nothing is read
but its status and ``Retry-After``.
"""

import datetime
import email.utils
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore

from webhooks.addresses import (
    LookupTimedOut,
    Target,
    UnacceptableURL,
    addresses_of,
    parse_url,
)

# Words for why there is no good answer, beside the status where there is one.
TIMEOUT = "timeout"
REFUSED = "no_public_address"
UNREACHABLE = "connection_failed"
TLS_FAILED = "tls_failed"
BROKEN = "protocol_error"
REDIRECT = "redirect_refused"
UNEXPECTED = "unexpected_status"

_MOST_ADDRESSES = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request. ``error`` is empty exactly where the status is 2xx."""

    status: int | None
    error: str
    started_at: datetime.datetime
    duration: datetime.timedelta
    retry_after: datetime.timedelta | None = None

    @property
    def is_good(self) -> bool:
        return not self.error


def post(url: str, *, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
    """POST the body, and return what came of it within so many seconds; never raises.

    The time counts from the look-up of the name to the last byte of the answer's header.
    """
    started_at, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
    status, error, retry_after = _exchange(url, headers, body, begun + seconds)
    duration = datetime.timedelta(seconds=time.monotonic() - begun)
    return Answer(status, error, started_at, duration, retry_after)


def _exchange(
    url: str, headers: Mapping[str, str], body: bytes, deadline: float
) -> tuple[int | None, str, datetime.timedelta | None]:
    try:
        target = parse_url(url)
        with (
            httpcore.ConnectionPool(
                ssl_context=_tls(), network_backend=_Guarded(target, deadline), retries=0
            ) as pool,
            pool.stream("POST", url, headers=list(headers.items()), content=body) as response,
        ):
            return _judge(response.status, response.headers)
    except UnacceptableURL:
        return None, REFUSED, None
    except (httpcore.TimeoutException, LookupTimedOut):
        return None, TIMEOUT, None
    except httpcore.ConnectError as error:
        is_tls = isinstance(error.__cause__, ssl.SSLError) or isinstance(
            error.__context__, ssl.SSLError
        )
        return None, TLS_FAILED if is_tls else UNREACHABLE, None
    except httpcore.NetworkError:
        return None, UNREACHABLE, None
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError):
        return None, BROKEN, None


def _judge(
    status: int, headers: Iterable[tuple[bytes, bytes]]
) -> tuple[int, str, datetime.timedelta | None]:
    if 200 <= status < 300:
        return status, "", None
    if 300 <= status < 400:
        return status, REDIRECT, None
    values = [value for name, value in headers if name.lower() == b"retry-after"]
    wait = parse_retry_after(values[0].decode("latin-1")) if values else None
    return status, UNEXPECTED, wait if status in {429, 503} else None


def parse_retry_after(text: str) -> datetime.timedelta | None:
    """Seconds, or until a date (RFC 9110, 10.2.3); None for anything else and for the past."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return datetime.timedelta(seconds=int(text))
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    wait = moment - datetime.datetime.now(datetime.UTC)
    return wait if wait > datetime.timedelta(0) else None


def _tls() -> ssl.SSLContext:
    """Certificates are verified against the host's name, whatever address it has."""
    global _context  # noqa: PLW0603 - reading all authorities takes 20 ms
    if _context is None:
        _context = ssl.create_default_context()
        _context.minimum_version = ssl.TLSVersion.TLSv1_2
    return _context


_context: ssl.SSLContext | None = None


class _Guarded(httpcore.NetworkBackend):
    """Connects to the addresses that were judged, and to no name; all of it before a deadline."""

    def __init__(self, target: Target, deadline: float) -> None:
        self._target = target
        self._deadline = deadline
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        if port != self._target.port:
            raise httpcore.ConnectError("Another port than the one judged.")
        addresses = addresses_of(self._target, seconds=_left(self._deadline))
        tried = addresses[:_MOST_ADDRESSES]
        failure: Exception = httpcore.ConnectError("No address.")
        for number, address in enumerate(tried):
            share = _left(self._deadline) / (len(tried) - number)
            try:
                stream = self._backend.connect_tcp(
                    str(address), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Bounded(stream, self._deadline)
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Any = None
    ) -> httpcore.NetworkStream:
        raise httpcore.UnsupportedProtocol("Only TCP.")

    def sleep(self, seconds: float) -> None:
        raise httpcore.UnsupportedProtocol("Nothing is retried here.")


class _Bounded(httpcore.NetworkStream):
    """A connection whose every step ends by the deadline, however slowly the bytes drip."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        connected = self._stream.get_extra_info("socket")
        try:
            while buffer:
                connected.settimeout(_left(self._deadline))
                buffer = buffer[connected.send(buffer) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Bounded(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("The time for this request is up.")
    return left
