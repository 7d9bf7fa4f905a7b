"""Money that goes back over HTTP: a thin layer over ``transactions.services``."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from transactions import services
from transactions.idempotency import Answer
from transactions.instructions import Request as Asked
from transactions.serializers import ReversalSerializer, TransactionSerializer, answer_of
from transactions.views.answering import KEY_HEADER, answer_once
from transactions.views.holds import is_operator
from users.authentication import caller_of
from wallet.selectors import wallet_ids_of


@extend_schema(tags=["transactions"])
class ReverseView(APIView):
    """Give a transfer back, or a part of it; by its recipient (a refund) or staff."""

    @extend_schema(
        operation_id="reverse",
        parameters=[KEY_HEADER],
        request=ReversalSerializer,
        responses={201: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: Request, transaction_id: uuid.UUID) -> Response:
        body = ReversalSerializer(data=request.data)
        body.is_valid(raise_exception=True)

        def act(asked: Asked) -> tuple[Answer, bool]:
            outcome = services.reverse_transaction(
                transaction_id=transaction_id,
                request=asked,
                is_operator=is_operator(request, "transactions.reverse_transaction"),
                amount=body.validated_data.get("amount"),
                reason=body.validated_data.get("reason", ""),
            )
            own = wallet_ids_of(caller_of(request))
            return answer_of(outcome, own_wallets=own), outcome.is_replay

        return answer_once(request, body, act)
