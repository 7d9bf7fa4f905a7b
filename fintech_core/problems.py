"""The one translation of errors into RFC 9457 problem details; none shows a stack or SQL."""

import logging
from typing import Any

import orjson
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback

from fintech_core.exceptions import (
    DomainError,
    PostingsHalted,
    RequestInProgress,
    ServiceUnavailable,
    TooManyRequests,
)
from fintech_core.middleware import current_request_id
from fintech_core.renderers import JSONRenderer
from fintech_core.sqlstates import (
    LOCK_NOT_AVAILABLE,
    OBJECT_NOT_IN_PREREQUISITE_STATE,
    is_connection_lost,
    sqlstate_of,
)

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"


def problem(
    status: int,
    code: str,
    title: str,
    detail: str = "",
    *,
    retryable: bool = False,
    request_id: str | None = None,
    **members: Any,
) -> dict[str, Any]:
    """The members of one RFC 9457 problem details object."""
    return {
        "type": f"urn:fintech-core:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail or title,
        "code": code,
        "request_id": request_id or current_request_id(),
        "retryable": retryable,
        **members,
    }


def problem_of(error: DomainError, *, request_id: str | None = None) -> dict[str, Any]:
    """The problem details of a domain error; a 400 always names a field."""
    facts = dict(error.facts)
    if error.status == 400:
        facts.setdefault("errors", {error.field: [error.detail]})
        facts.setdefault("codes", {error.field: [error.code]})
    return problem(
        error.status,
        error.code,
        error.title,
        error.detail,
        retryable=error.retryable,
        request_id=request_id,
        **facts,
    )


def problem_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every error as problem details, none with a stack or SQL in it.

    An exception nobody foresaw becomes a bare 500 and is logged with its stack.
    """
    set_rollback()
    if (request := context.get("request")) is not None:
        # Whatever the view serves otherwise (a schema, a page): an error is JSON.
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), PROBLEM_TYPE
    headers: dict[str, str] = {}
    if isinstance(exc, OperationalError | InterfaceError) or is_connection_lost(exc):
        exc = _domain_error_of_database_error(exc)
    if isinstance(exc, DomainError):
        body = problem_of(exc)
        retry_after = exc.wait if isinstance(exc, TooManyRequests) else exc.retry_after
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
    elif isinstance(exc, Http404):
        body = problem(404, "not_found", "Not found.")
    elif isinstance(exc, PermissionDenied):
        body = problem(403, "permission_denied", "You may not do this.")
    elif isinstance(exc, RequestDataTooBig):
        body = problem(413, "body_too_large", "The body is too large.")
    elif isinstance(exc, SuspiciousOperation | BadRequest):
        body = problem(400, "bad_request", "The request is malformed.")
    elif isinstance(exc, drf.APIException):
        body, headers = _of_framework_error(exc)
    else:
        logger.error("unexpected_error", exc_info=exc)
        body = problem(500, "internal_error", "Something went wrong on our side.")
    return Response(body, status=body["status"], content_type=PROBLEM_TYPE, headers=headers)


def problem_http_response(body: dict[str, Any]) -> HttpResponse:
    """The same body outside DRF: Django's own error pages and middleware."""
    return HttpResponse(orjson.dumps(body), status=body["status"], content_type=PROBLEM_TYPE)


def _domain_error_of_database_error(exc: Exception) -> DomainError:
    sqlstate = sqlstate_of(exc)
    logger.warning("database_error", extra={"sqlstate": sqlstate, "reason": type(exc).__name__})
    if sqlstate == OBJECT_NOT_IN_PREREQUISITE_STATE:
        return PostingsHalted()
    return RequestInProgress() if sqlstate == LOCK_NOT_AVAILABLE else ServiceUnavailable()


_FRAMEWORK_CODES: dict[type[drf.APIException], tuple[str, str]] = {
    drf.NotAuthenticated: ("not_authenticated", "Sign in first."),
    drf.AuthenticationFailed: ("invalid_token", "The access token is not valid."),
    drf.PermissionDenied: ("permission_denied", "You may not do this."),
    drf.NotFound: ("not_found", "Not found."),
    drf.MethodNotAllowed: ("method_not_allowed", "This method is not allowed here."),
    drf.NotAcceptable: ("not_acceptable", "Only application/json is served."),
    drf.UnsupportedMediaType: (
        "unsupported_media_type",
        "This content type is not taken here; send what the documentation names, in UTF-8.",
    ),
    drf.ParseError: ("malformed_json", "The body is not valid."),
}


def _of_framework_error(exc: drf.APIException) -> tuple[dict[str, Any], dict[str, str]]:
    headers: dict[str, str] = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if isinstance(exc, drf.ValidationError):
        return problem_of_validation(exc), headers
    code, title = _FRAMEWORK_CODES.get(type(exc), ("error", "The request was refused."))
    return problem(exc.status_code, code, title), headers


def problem_of_validation(error: drf.ValidationError) -> dict[str, Any]:
    """The problem details of a body or query that is not valid, each field under its dotted name."""
    texts, codes = _flatten(error.get_full_details())
    title = "The request is not valid."
    return problem(400, "validation_error", title, errors=texts, codes=codes)


def _flatten(details: Any, path: str = "") -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """DRF's nested details as ``{dotted.field: [text]}`` and the same with codes."""
    texts: dict[str, list[str]] = {}
    codes: dict[str, list[str]] = {}
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        key = path or "non_field_errors"
        texts[key], codes[key] = [str(details["message"])], [str(details["code"])]
        return texts, codes
    branches = (
        [(str(name), value) for name, value in details.items()]
        if isinstance(details, dict)
        else [("", value) for value in details]
    )
    for name, value in branches:
        inner = ".".join(part for part in (path, name) if part)
        inner_texts, inner_codes = _flatten(value, inner)
        for key, values in inner_texts.items():
            texts.setdefault(key, []).extend(values)
        for key, values in inner_codes.items():
            codes.setdefault(key, []).extend(values)
    return texts, codes
