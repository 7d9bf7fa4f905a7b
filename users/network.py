"""Where a request comes from."""

import ipaddress

from django.http import HttpRequest

from fintech_core.middleware import client_address


def network_of(request: HttpRequest) -> str:
    """The caller's network: an IPv4 address, or the /64 of an IPv6 one (all of it is one customer's)."""
    address = client_address(request)
    if address is None:
        return "unknown"
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return address
