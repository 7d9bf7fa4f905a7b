"""Transfers that are asked for at the same time: one look at their sessions, one group, one commit."""

import logging
from collections.abc import Sequence

import orjson
from rest_framework.exceptions import APIException

from fintech_core.exceptions import DomainError
from fintech_core.fields import uuid_text
from fintech_core.gathering import Arrived, Served
from fintech_core.parsers import parse_strict
from fintech_core.problems import PROBLEM_TYPE, problem_of
from fintech_core.renderers import JSONRenderer
from transactions import idempotency
from transactions.instructions import Outcome, Request, TransferInstruction
from transactions.serializers import TransferSerializer, answer_of
from transactions.services.grouping import verdicts_after
from transactions.services.transfers import post_group
from transactions.views.recipients import quota_of_unknown
from transactions.views.transfers import instruction_of
from users.authentication import claims_of
from users.selectors import are_sessions_live
from users.tokens import Claims

logger = logging.getLogger(__name__)

Read = tuple[Claims, TransferInstruction]


def serve(arrived: Sequence[Arrived]) -> list[Served | None]:
    """Answer all transfers that come to an end here; see ``fintech_core.gathering``.

    ``TransferView`` judges anew what is refused with nothing written, and what one of the others kept
    from being posted: a key makes that safe.
    """
    read = _of_live_sessions([_read(each) for each in arrived])
    results = iter(_post([each[1] for each in read if each]))
    return [_served(each[1], next(results)) if each else None for each in read]


def _read(request: Arrived) -> Read | None:
    """Who asks for what, where all about it is in order."""
    try:
        claims = claims_of(request.headers.get("authorization", ""))
        if claims is None:
            return None
        body = parse_strict(request.body)
        values = TransferSerializer.take(body)
        key = idempotency.read_key(header=request.headers.get("idempotency-key"), body=values)
    except (APIException, DomainError):
        return None
    name = idempotency.fingerprint(method="POST", path=request.path, body=body)
    asked = Request(claims.user_id, key, name, request.request_id, request.client_address)
    return claims, instruction_of(values, asked)


def _of_live_sessions(read: list[Read | None]) -> list[Read | None]:
    claims = [each[0] for each in read if each]
    asked = [(c.user_id, c.session_id, c.token_version) for c in claims]
    live = iter(are_sessions_live(asked, within=quota_of_unknown()))
    return [each if each and next(live) else None for each in read]


def _post(instructions: list[TransferInstruction]) -> Sequence[Outcome | DomainError | None]:
    """Their outcomes; or for all of them what keeps the database from telling one."""
    if not instructions:
        return []
    try:
        results = post_group(instructions)
    except Exception as error:
        logger.warning("group_not_posted", extra={"reason": type(error).__name__})
        return verdicts_after(error, len(instructions))
    return [each if isinstance(each, Outcome) else None for each in results]


def _served(asked: TransferInstruction, result: Outcome | DomainError | None) -> Served | None:
    if result is None:
        return None
    headers: list[tuple[str, str]] = []
    if isinstance(result, DomainError):
        status, body = result.status, problem_of(result, request_id=asked.request_id)
        headers += [("Retry-After", str(result.retry_after))] if result.retry_after else []
    else:
        answer = answer_of(result)
        status, body = answer.status, answer.body
        headers += [("Idempotency-Replayed", "true")] if result.is_replay else []
    return Served(
        status=status,
        content=orjson.dumps(body),
        content_type=JSONRenderer.media_type if status < 400 else PROBLEM_TYPE,
        user=uuid_text(asked.caller_id),
        headers=headers,
    )
