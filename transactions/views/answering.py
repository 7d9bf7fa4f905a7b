"""How every money operation answers: keys read, replays told from the cache, answers kept for retries."""

from collections.abc import Callable

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from fintech_core.middleware import client_address, current_request_id
from fintech_core.problems import PROBLEM_TYPE
from transactions import idempotency
from transactions.idempotency import Answer
from transactions.instructions import Request as Asked
from users.authentication import caller_of

KEY_HEADER = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Or send idempotency_key."
)


def asked_of(request: Request, *, key: str) -> Asked:
    """Who asks, under which key, from where, and the fingerprint of what is asked."""
    return Asked(
        caller_id=caller_of(request).pk,
        idempotency_key=key,
        fingerprint=idempotency.fingerprint(method="POST", path=request.path, body=request.data),
        request_id=current_request_id(),
        client_address=client_address(request._request),
    )


def answer_once(
    request: Request,
    body: BaseSerializer[object],
    act: Callable[[Asked], tuple[Answer, bool]],
) -> Response:
    """Run a money operation for a validated body, or tell the first answer to the same request again.

    ``act`` returns the answer and whether it is a replay.
    """
    key = idempotency.read_key(
        header=request.headers.get("Idempotency-Key"), body=body.validated_data
    )
    asked = asked_of(request, key=key)
    caller_id = caller_of(request).pk
    kept = idempotency.recall_answer(caller_id=caller_id, key=key, request=asked.fingerprint)
    if kept is not None:
        return respond(kept, is_replay=True)
    answer, is_replay = act(asked)
    idempotency.keep_answer(caller_id=caller_id, key=key, request=asked.fingerprint, answer=answer)
    return respond(answer, is_replay=is_replay)


def respond(answer: Answer, *, is_replay: bool) -> Response:
    """The answer as it is sent; a replay says so."""
    headers = {"Idempotency-Replayed": "true"} if is_replay else {}
    content_type = None if answer.status < 400 else PROBLEM_TYPE
    return Response(answer.body, answer.status, headers=headers, content_type=content_type)
