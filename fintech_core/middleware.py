"""Around every request: an id, the size limits, and exactly one log line."""

import functools
import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import get_resolver
from django.utils.functional import LazyObject, empty

REQUEST_LOGGER = "fintech_core.request"
REQUEST_MEMBERS = ("request_id", "user", "method", "route", "status", "duration_ms")
logger = logging.getLogger(REQUEST_LOGGER)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_current: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The id of the request being served, or an empty string outside of one."""
    return _current.get()


def request_id_for(sent: str) -> str:
    """The caller's own id where it is 1 to 128 of ``[A-Za-z0-9._-]``, else a new one."""
    return sent if _REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())


def client_address(request: HttpRequest) -> str | None:
    """The address of whoever sent the request, or None where it has none (a unix socket).

    The peer's own address counts. With ``NUM_PROXIES`` proxies of ours in front it is the entry that the
    outermost of them wrote into X-Forwarded-For; what a caller put there before is never believed.
    """
    peer, forwarded = request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR")
    return address_of(str(peer or ""), forwarded)


def address_of(peer: str, forwarded: str | None) -> str | None:
    """The same of the peer's address and the X-Forwarded-For that it sent."""
    address = peer
    if settings.NUM_PROXIES and forwarded:
        hops = [hop.strip() for hop in forwarded.split(",")]
        address = hops[-min(settings.NUM_PROXIES, len(hops))]
    return _canonical_address(address)


@functools.lru_cache(maxsize=1_024)
def _canonical_address(address: str) -> str | None:
    try:
        # The zone of a link-local address means something on this machine alone; inet knows none.
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return None


class RequestMiddleware:
    """Gives each request an id, refuses what is too large, and writes one JSON line about it.

    The line holds the id, user, method, route, status and duration: never a body, a query string, a
    header or a path as sent, so no password, token, key or hostile text can reach the log.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        request_id = request_id_for(request.META.get("HTTP_X_REQUEST_ID", ""))
        token = _current.set(request_id)
        try:
            response = _too_long_query(request) or self._get_response(request)
            response["X-Request-ID"] = request_id
            _log(request, response.status_code, time.perf_counter() - started, request_id)
        finally:
            _current.reset(token)
        return response


class ApiMiddleware:
    """Answers everything under ``/api/`` here: what stands below it in ``MIDDLEWARE`` is for pages.

    Sessions, forms, messages and static files mean nothing to a caller with a token, and cost more than
    all that such a request needs. The views are DRF's, which take no cookie and so need no CSRF token.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._answer = convert_exception_to_response(self._call_view)
        # A path that does not resolve raises, and is not remembered.
        self._resolve = functools.lru_cache(maxsize=512)(get_resolver().resolve)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith("/api/"):
            return self._get_response(request)
        response = self._answer(request)
        assert isinstance(response, HttpResponseBase)  # noqa: S101  # nosec B101 - for types: no view is async
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _call_view(self, request: HttpRequest) -> HttpResponseBase:
        request.get_host()  # Raises for a host that is not ours.
        match = self._resolve(request.path_info)
        request.resolver_match = match
        refusal = _too_large(request, match.func)
        if refusal is not None:
            return refusal
        response = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response = response.render()
        answer: HttpResponseBase = response
        return answer


def _too_large(request: HttpRequest, view: Any) -> HttpResponse | None:
    """Refuse a body over the view's limit before anything of it is read."""
    limit = getattr(getattr(view, "cls", None), "max_body_bytes", settings.MAX_BODY_BYTES)
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > limit:
        return _refusal(413, "body_too_large", f"The body may have {limit} bytes at most.")
    return None


def _too_long_query(request: HttpRequest) -> HttpResponse | None:
    if len(request.META.get("QUERY_STRING", "")) > settings.MAX_QUERY_BYTES:
        return _refusal(414, "uri_too_long", "The query string is too long.")
    return None


def _refusal(status: int, code: str, title: str) -> HttpResponse:
    from fintech_core.problems import problem, problem_http_response

    return problem_http_response(problem(status, code, title))


def _log(request: HttpRequest, status: int, seconds: float, request_id: str) -> None:
    match = request.resolver_match
    log_request(
        request_id=request_id,
        user=_user_id(request),
        method=request.method or "",
        route=f"/{match.route}" if match else None,
        status=status,
        seconds=seconds,
    )


def log_request(
    *,
    request_id: str,
    user: str | None,
    method: str,
    route: str | None,
    status: int,
    seconds: float,
) -> None:
    """The one line that a request leaves behind."""
    logger.info(
        "request",
        extra={
            "request_id": request_id,
            "user": user,
            "method": method if method.isalpha() else "?",
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
        },
    )


def _user_id(request: HttpRequest) -> str | None:
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:
        return None  # Nobody asked who it is; a log line is no reason to query the database.
    key = getattr(user, "pk", None)
    return None if key is None else str(key)
