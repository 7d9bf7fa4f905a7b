"""Up to a thousand transfers in one request."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.exceptions import DomainError, InvalidInput
from fintech_core.middleware import client_address, current_request_id
from fintech_core.openapi import PROBLEMS
from fintech_core.problems import problem_of, problem_of_validation
from transactions import idempotency, services
from transactions.declines import BatchRefused, RecipientNotFound
from transactions.instructions import Outcome, Request, TransferInstruction
from transactions.serializers import (
    BatchAnswerSerializer,
    BatchSerializer,
    TransferSerializer,
    answer_of,
)
from transactions.views.recipients import (
    count_unknown_recipient,
    count_unknown_recipients,
    require_may_look,
)
from transactions.views.transfers import instruction_of
from users.authentication import caller_of


@extend_schema(tags=["transactions"])
class BatchView(APIView):
    """Transfers in order, each under its own key: all or none of them, or each by itself.

    A transfer here and the same one sent alone are the same request: a key answers both.
    """

    max_body_bytes = 1024 * 1024

    @extend_schema(
        operation_id="transfer_batch",
        request=BatchSerializer,
        responses={200: BatchAnswerSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest) -> Response:
        values = BatchSerializer.take(request.data)
        asked = Request(
            caller_id=caller_of(request).pk,
            idempotency_key="",
            fingerprint=b"",
            request_id=current_request_id(),
            client_address=client_address(request._request),
        )
        path = reverse("transfer")
        read = [_read(sent, asked, path) for sent in values["transfers"]]
        require_may_look(asked, [one for one in read if isinstance(one, TransferInstruction)])
        results = _all_or_none(read, asked) if values["mode"] == "atomic" else _each(read)
        unknown = sum(isinstance(result, RecipientNotFound) for result in results)
        count_unknown_recipients(asked, unknown)
        answers = [_represent(result, asked) for result in results]
        posted = sum("transaction" in answer for answer in answers)
        body = {"results": answers, "posted": posted, "declined": len(answers) - posted}
        is_replay = all(isinstance(r, Outcome) and r.is_replay for r in results)
        return Response(body, headers={"Idempotency-Replayed": "true"} if is_replay else {})


Read = TransferInstruction | ValidationError | DomainError


def _read(sent: Any, asked: Request, path: str) -> Read:
    """What one member of the list asks for, or what is wrong with its shape; ``path`` is where it would
    be sent alone."""
    try:
        values = TransferSerializer.take(sent)
        key = idempotency.read_key(header=None, body=values)
    except (ValidationError, DomainError) as error:
        return error
    fingerprint = idempotency.fingerprint(method="POST", path=path, body=sent)
    return instruction_of(
        values,
        Request(asked.caller_id, key, fingerprint, asked.request_id, asked.client_address),
    )


def _all_or_none(read: list[Read], asked: Request) -> list[Outcome | DomainError | ValidationError]:
    for index, one in enumerate(read):
        if isinstance(one, ValidationError):
            raise ValidationError({"transfers": {str(index): one.detail}})
        if isinstance(one, DomainError):
            name = f"transfers.{index}.{one.field}"
            raise InvalidInput({name: [one.detail]}, {name: [one.code]})
    instructions = [one for one in read if isinstance(one, TransferInstruction)]
    try:
        return [*services.transfer_all_or_none(instructions)]
    except BatchRefused as refusal:
        if refusal.code == RecipientNotFound.code:
            count_unknown_recipient(asked)
        raise


def _each(read: list[Read]) -> list[Outcome | DomainError | ValidationError]:
    instructions = [one for one in read if isinstance(one, TransferInstruction)]
    outcomes = iter(services.transfer_many(instructions) if instructions else [])
    return [next(outcomes) if isinstance(one, TransferInstruction) else one for one in read]


def _represent(result: Outcome | DomainError | ValidationError, asked: Request) -> dict[str, Any]:
    if isinstance(result, ValidationError):
        return {"status": "declined", "error": problem_of_validation(result)}
    if isinstance(result, DomainError):
        return {"status": "declined", "error": problem_of(result, request_id=asked.request_id)}
    answer = answer_of(result)
    if answer.status >= 400:
        return {"status": "declined", "error": answer.body}
    return {"status": answer.body["status"], "transaction": answer.body}
