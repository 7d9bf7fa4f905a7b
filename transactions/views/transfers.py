"""Sending money, one transfer at a time or up to a thousand."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from transactions import services
from transactions.declines import RecipientNotFound
from transactions.instructions import Request, TransferInstruction
from transactions.serializers import TransactionSerializer, TransferSerializer, answer_of
from transactions.views.answering import KEY_HEADER, money_request, respond
from transactions.views.recipients import count_unknown_recipient, require_may_look


@extend_schema(tags=["transactions"])
class TransferView(APIView):
    """Send money to another user."""

    @extend_schema(
        operation_id="transfer",
        parameters=[KEY_HEADER],
        request=TransferSerializer,
        responses={201: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest) -> Response:
        values = TransferSerializer.take(request.data)
        asked = money_request(request, values)
        instruction = instruction_of(values, asked)
        require_may_look(asked, [instruction])
        try:
            outcome = services.transfer(instruction)
        except RecipientNotFound:
            count_unknown_recipient(asked)
            raise
        return respond(answer_of(outcome), is_replay=outcome.is_replay)


def instruction_of(values: dict[str, Any], asked: Request) -> TransferInstruction:
    """What a validated body asks for."""
    assert asked.caller_id is not None  # noqa: S101  # nosec B101 - a caller over HTTP is a user
    return TransferInstruction(
        caller_id=asked.caller_id,
        idempotency_key=asked.idempotency_key,
        fingerprint=asked.fingerprint,
        recipient=TransferSerializer.recipient_of(values),
        amount=values["amount"],
        currency=values.get("currency"),
        source_wallet_id=values.get("from_wallet"),
        description=values.get("description", ""),
        metadata=values.get("metadata", {}),
        hold_for=TransferSerializer.hold_for(values),
        request_id=asked.request_id,
        client_address=asked.client_address,
    )
