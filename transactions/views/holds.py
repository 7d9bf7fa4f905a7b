"""What becomes of holds over HTTP: a thin layer over ``transactions.services``."""

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from transactions import services
from transactions.instructions import HoldOutcome, Request
from transactions.serializers import (
    CaptureSerializer,
    HoldGroupSerializer,
    TransactionListSerializer,
    TransactionSerializer,
    VoidSerializer,
    answer_of_hold,
    answer_of_holds,
)
from transactions.views.answering import (
    KEY_HEADER,
    asked_of,
    is_operator,
    money_request,
    respond,
)
from users.authentication import caller_of
from wallet.selectors import wallet_ids_of


@extend_schema(tags=["transactions"])
class CaptureView(APIView):
    """Take what is held, all of it or a part; by the recipient or staff."""

    @extend_schema(
        operation_id="capture",
        parameters=[KEY_HEADER],
        request=CaptureSerializer,
        responses={200: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest, transaction_id: uuid.UUID) -> Response:
        values = CaptureSerializer.take(request.data)
        outcome = services.capture_hold(
            hold_id=transaction_id,
            request=money_request(request, values),
            is_operator=is_operator(request, "transactions.capture_hold"),
            amount=values.get("amount"),
            final=values["final"],
        )
        own = wallet_ids_of(caller_of(request))
        return respond(answer_of_hold(outcome, own_wallets=own), is_replay=outcome.is_replay)


@extend_schema(tags=["transactions"])
class VoidView(APIView):
    """Give back what is still held; by the recipient or staff, and by the payer once it has expired."""

    @extend_schema(
        operation_id="void",
        parameters=[KEY_HEADER],
        request=VoidSerializer,
        responses={200: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest, transaction_id: uuid.UUID) -> Response:
        values = VoidSerializer.take(request.data)
        if "idempotency_key" in values or "Idempotency-Key" in request.headers:
            asked = money_request(request, values)
        else:
            asked = services.void_request(asked_of(request, key=""), transaction_id)
        outcome = services.void_hold(
            hold_id=transaction_id,
            request=asked,
            is_operator=is_operator(request, "transactions.void_hold"),
        )
        own = wallet_ids_of(caller_of(request))
        return respond(answer_of_hold(outcome, own_wallets=own), is_replay=outcome.is_replay)


class HoldGroupView(APIView):
    """Decide on up to 100 holds with one answer: all of them, or none."""

    def post(self, request: HttpRequest) -> Response:
        values = HoldGroupSerializer.take(request.data)
        outcomes = self.decide(request, money_request(request, values), values["ids"])
        own = wallet_ids_of(caller_of(request))
        answer = answer_of_holds(outcomes, own_wallets=own)
        return respond(answer, is_replay=outcomes[0].is_replay)

    def decide(
        self, request: HttpRequest, asked: Request, hold_ids: list[uuid.UUID]
    ) -> list[HoldOutcome]:
        """What is done with them."""
        raise NotImplementedError


def _group(operation: str) -> Any:
    return extend_schema_view(
        post=extend_schema(
            operation_id=operation,
            tags=["transactions"],
            parameters=[KEY_HEADER],
            request=HoldGroupSerializer,
            responses={200: TransactionListSerializer, **PROBLEMS},
        )
    )


@_group("capture_group")
class GroupCaptureView(HoldGroupView):
    """Take all that is left of up to 100 holds, or of none; by their recipient or staff."""

    def decide(
        self, request: HttpRequest, asked: Request, hold_ids: list[uuid.UUID]
    ) -> list[HoldOutcome]:
        may = is_operator(request, "transactions.capture_hold")
        return services.capture_holds(hold_ids=hold_ids, request=asked, is_operator=may)


@_group("void_group")
class GroupVoidView(HoldGroupView):
    """Give back up to 100 holds, or none; by their recipient or staff, or their payer once expired."""

    def decide(
        self, request: HttpRequest, asked: Request, hold_ids: list[uuid.UUID]
    ) -> list[HoldOutcome]:
        may = is_operator(request, "transactions.void_hold")
        return services.void_holds(hold_ids=hold_ids, request=asked, is_operator=may)
