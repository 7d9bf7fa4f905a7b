"""What every money operation over HTTP does: read the key, name the request, answer the outcome."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response

from fintech_core.middleware import client_address, current_request_id
from fintech_core.problems import PROBLEM_TYPE
from transactions import idempotency
from transactions.idempotency import Answer
from transactions.instructions import Request
from users.authentication import caller_of

KEY_HEADER = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Or send idempotency_key."
)


def money_request(request: HttpRequest, values: dict[str, Any]) -> Request:
    """Who asks for what, under which key. Raises ``IdempotencyKeyRequired`` and the like."""
    key = idempotency.read_key(header=request.META.get("HTTP_IDEMPOTENCY_KEY"), body=values)
    return asked_of(request, key=key)


def asked_of(request: HttpRequest, *, key: str) -> Request:
    """Who asks, from where, and the fingerprint of what is asked."""
    return Request(
        caller_id=caller_of(request).pk,
        idempotency_key=key,
        fingerprint=idempotency.fingerprint(
            method=request.method or "", path=request.path, body=request.data
        ),
        request_id=current_request_id(),
        client_address=client_address(request._request),
    )


def respond(answer: Answer, *, is_replay: bool) -> Response:
    """The answer, marked where an earlier request got it first."""
    headers = {"Idempotency-Replayed": "true"} if is_replay else {}
    content_type = None if answer.status < 400 else PROBLEM_TYPE
    return Response(answer.body, answer.status, headers=headers, content_type=content_type)


def is_operator(request: HttpRequest, permission: str) -> bool:
    """Whether the caller is staff who hold the permission."""
    user = caller_of(request)
    return user.is_staff and user.has_perm(permission)
