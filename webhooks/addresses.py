"""Which URLs may be told of events, and which addresses behind them.

An owner chooses the URL, and our servers stand where their owners do not: so only ``https`` to public
addresses is sent to, and the address that was judged is the one that is connected to. Networks in
``WEBHOOK_ALLOWED_NETWORKS`` are exempt, and may be reached by plain ``http``.
"""

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_LENGTH = 2048

# RFC 3986's characters; a name or path in another script is written in its ASCII form.
_URL = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+", re.ASCII)
_NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DOTTED_QUAD = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}", re.ASCII)

# Of IPv6 only global unicast is public, and of that not what stands for IPv4 addresses (6to4, Teredo) or
# for nobody (documentation): translated addresses, NAT64's too, are refused whatever they stand for.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)


class UnacceptableURL(Exception):
    """A URL that nothing is ever sent to. ``code`` is a stable word."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NoPublicAddress(UnacceptableURL):
    """The host has no address, or one that is not public. Which of the two is not said: a stranger would
    learn by it what names our own network knows."""

    def __init__(self) -> None:
        super().__init__(
            "no_public_address",
            "The host does not resolve to public addresses, and to none but those.",
        )


class LookupTimedOut(Exception):
    """The name servers did not answer in time."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: a host by its name or address, not resolved yet."""

    scheme: str
    host: str
    port: int

    @property
    def is_plain(self) -> bool:
        """Whether it is not encrypted."""
        return self.scheme == "http"


def parse_url(url: str) -> Target:
    """The target of an acceptable URL, without asking the network. Raises ``UnacceptableURL``.

    Refused are other schemes than ``https`` (and ``http``, which only allowed networks get), user names,
    fragments, hosts that resolvers read in more than one way (``127.1``, ``0x7f000001``, a trailing dot,
    a zone), and ports below 1024 other than 443 (other services listen there).
    """
    if len(url) > MAX_URL_LENGTH or not _URL.fullmatch(url):
        raise UnacceptableURL("invalid_url", "This is not a URL of at most 2048 ASCII characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UnacceptableURL("invalid_url", "This is not a URL.") from None
    if parts.scheme not in ({"https", "http"} if settings.WEBHOOK_ALLOWED_NETWORKS else {"https"}):
        raise UnacceptableURL("https_required", "The URL must begin with https://.")
    if "@" in parts.netloc:
        raise UnacceptableURL("invalid_url", "A URL with a user name is not accepted.")
    host = _host_of(parts.netloc)
    usual = 443 if parts.scheme == "https" else 80
    if port is None:
        port = usual
    elif port < 1024 and port != usual:
        raise UnacceptableURL("invalid_port", "The port must be 443 or above 1023.")
    return Target(parts.scheme, host, port)


def _host_of(netloc: str) -> str:
    """A name, or an address in its one usual form; IPv6 without brackets."""
    if netloc.startswith("["):
        text, closed, rest = netloc[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise UnacceptableURL("invalid_url", "This is not a URL.")
        try:
            return str(ipaddress.IPv6Address(text if "%" not in text else ""))
        except ValueError:
            raise UnacceptableURL("invalid_host", "This is not an IPv6 address.") from None
    host = netloc.partition(":")[0].lower()
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        # What ends in a number is an address or nothing (WHATWG URL, 3.5), and some read it as octal.
        if not _DOTTED_QUAD.fullmatch(host) or any(int(part) > 255 for part in host.split(".")):
            raise UnacceptableURL("invalid_host", "Write the address as four decimal numbers.")
        return host
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise UnacceptableURL("invalid_host", "This is not the name of a host.")
    return host


def addresses_of(target: Target, *, seconds: float) -> list[Address]:
    """The addresses that may be connected to, each judged; all of the host's, or none.

    Raises ``NoPublicAddress`` where one of them may not be, and ``LookupTimedOut``.
    """
    try:
        texts = _look_up_within(seconds, target.host, target.port)
    except OSError:
        raise NoPublicAddress from None
    try:
        addresses = [ipaddress.ip_address(text) for text in texts]
    except ValueError:
        raise NoPublicAddress from None
    allowed = settings.WEBHOOK_ALLOWED_NETWORKS
    for address in addresses:
        if any(address in network for network in allowed):
            continue
        if target.is_plain or not is_public(address):
            raise NoPublicAddress
    if not addresses:
        raise NoPublicAddress
    return addresses


def is_public(address: Address) -> bool:
    """Whether it is one machine's on the public Internet, by the registries and by no translation."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _GLOBAL_UNICAST or address.scope_id
    ):
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def look_up(host: str, port: int) -> Sequence[str]:
    """The texts of the host's addresses, by the system's resolver. Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _look_up_within(seconds: float, host: str, port: int) -> Sequence[str]:
    """The system's resolver takes no time limit: it is asked by a thread that is waited for no longer."""
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(look_up(host, port))
        except (OSError, ValueError) as error:
            answers.put(OSError(str(error)))

    threading.Thread(target=ask, daemon=True, name="webhook-lookup").start()
    try:
        answer = answers.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise LookupTimedOut from None
    if isinstance(answer, Exception):
        raise answer
    return answer
