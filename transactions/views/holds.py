"""What becomes of holds over HTTP: a thin layer over ``transactions.services``."""

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from transactions import services
from transactions.idempotency import Answer
from transactions.instructions import HoldOutcome
from transactions.instructions import Request as Asked
from transactions.serializers import (
    CaptureSerializer,
    HoldGroupSerializer,
    TransactionListSerializer,
    TransactionSerializer,
    VoidSerializer,
    answer_of_hold,
    answer_of_holds,
)
from transactions.views.answering import KEY_HEADER, answer_once, asked_of, respond
from users.authentication import caller_of
from wallet.selectors import wallet_ids_of


def is_operator(request: Request, permission: str) -> bool:
    """Whether the caller is staff who hold the permission."""
    user = caller_of(request)
    return user.is_staff and user.has_perm(permission)


@extend_schema(tags=["transactions"])
class CaptureView(APIView):
    """Take what is held, all of it or a part; by the recipient or staff."""

    @extend_schema(
        operation_id="capture",
        parameters=[KEY_HEADER],
        request=CaptureSerializer,
        responses={200: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: Request, transaction_id: uuid.UUID) -> Response:
        body = CaptureSerializer(data=request.data)
        body.is_valid(raise_exception=True)

        def act(asked: Asked) -> tuple[Answer, bool]:
            outcome = services.capture_hold(
                hold_id=transaction_id,
                request=asked,
                is_operator=is_operator(request, "transactions.capture_hold"),
                amount=body.validated_data.get("amount"),
                final=body.validated_data["final"],
            )
            own = wallet_ids_of(caller_of(request))
            return answer_of_hold(outcome, own_wallets=own), outcome.is_replay

        return answer_once(request, body, act)


@extend_schema(tags=["transactions"])
class VoidView(APIView):
    """Give back what is still held; by the recipient or staff, and by the payer once it has expired."""

    @extend_schema(
        operation_id="void",
        parameters=[KEY_HEADER],
        request=VoidSerializer,
        responses={200: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: Request, transaction_id: uuid.UUID) -> Response:
        body = VoidSerializer(data=request.data)
        body.is_valid(raise_exception=True)

        def act(asked: Asked) -> tuple[Answer, bool]:
            outcome = services.void_hold(
                hold_id=transaction_id,
                request=asked,
                is_operator=is_operator(request, "transactions.void_hold"),
            )
            own = wallet_ids_of(caller_of(request))
            return answer_of_hold(outcome, own_wallets=own), outcome.is_replay

        if "idempotency_key" in body.validated_data or "Idempotency-Key" in request.headers:
            return answer_once(request, body, act)
        answer, is_replay = act(services.void_request(asked_of(request, key=""), transaction_id))
        return respond(answer, is_replay=is_replay)


class HoldGroupView(APIView):
    """Decide on up to 100 holds with one answer: all of them, or none."""

    def post(self, request: Request) -> Response:
        body = HoldGroupSerializer(data=request.data)
        body.is_valid(raise_exception=True)

        def act(asked: Asked) -> tuple[Answer, bool]:
            outcomes = self.decide(request, asked, body.validated_data["ids"])
            own = wallet_ids_of(caller_of(request))
            return answer_of_holds(outcomes, own_wallets=own), outcomes[0].is_replay

        return answer_once(request, body, act)

    def decide(
        self, request: Request, asked: Asked, hold_ids: list[uuid.UUID]
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
        self, request: Request, asked: Asked, hold_ids: list[uuid.UUID]
    ) -> list[HoldOutcome]:
        may = is_operator(request, "transactions.capture_hold")
        return services.capture_holds(hold_ids=hold_ids, request=asked, is_operator=may)


@_group("void_group")
class GroupVoidView(HoldGroupView):
    """Give back up to 100 holds, or none; by their recipient or staff, or their payer once expired."""

    def decide(
        self, request: Request, asked: Asked, hold_ids: list[uuid.UUID]
    ) -> list[HoldOutcome]:
        may = is_operator(request, "transactions.void_hold")
        return services.void_holds(hold_ids=hold_ids, request=asked, is_operator=may)
