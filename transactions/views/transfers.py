"""Money moving over HTTP: a thin layer over ``transactions.services`` and ``transactions.selectors``."""

from datetime import timedelta

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.middleware import client_address, current_request_id
from fintech_core.openapi import PROBLEMS
from transactions import idempotency, services
from transactions.declines import RecipientNotFound
from transactions.instructions import TransferInstruction
from transactions.serializers import (
    TransactionSerializer,
    TransferSerializer,
    answer_of,
)
from transactions.views.answering import KEY_HEADER, respond
from users.attempts import count_attempt
from users.authentication import caller_of


@extend_schema(tags=["transactions"])
class TransferView(APIView):
    """Send money to another user."""

    @extend_schema(
        operation_id="transfer",
        parameters=[KEY_HEADER],
        request=TransferSerializer,
        responses={201: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        body = TransferSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        key = idempotency.read_key(
            header=request.headers.get("Idempotency-Key"), body=body.validated_data
        )
        print_of_request = idempotency.fingerprint(
            method="POST", path=request.path, body=request.data
        )
        caller_id = caller_of(request).pk
        kept = idempotency.recall_answer(caller_id=caller_id, key=key, request=print_of_request)
        if kept is not None:
            return respond(kept, is_replay=True)
        instruction = _instruction(request, body, key, print_of_request)
        try:
            outcome = services.transfer(instruction)
        except RecipientNotFound:
            # Whoever tries addresses in turn is stopped; who has mistyped one is told.
            count_attempt(
                scope="unknown_recipient",
                subject=str(caller_id),
                window=timedelta(hours=1),
                limit=settings.UNKNOWN_RECIPIENTS_PER_HOUR,
            )
            raise
        answer = answer_of(outcome)
        idempotency.keep_answer(
            caller_id=caller_id, key=key, request=print_of_request, answer=answer
        )
        return respond(answer, is_replay=outcome.is_replay)


def _instruction(
    request: Request, body: TransferSerializer, key: str, fingerprint: bytes
) -> TransferInstruction:
    values = body.validated_data
    return TransferInstruction(
        caller_id=caller_of(request).pk,
        idempotency_key=key,
        fingerprint=fingerprint,
        recipient=body.recipient(),
        amount=values["amount"],
        currency=values.get("currency"),
        source_wallet_id=values.get("from_wallet"),
        description=values.get("description", ""),
        metadata=values.get("metadata", {}),
        hold_for=body.hold_for(),
        request_id=current_request_id(),
        client_address=client_address(request._request),
    )
