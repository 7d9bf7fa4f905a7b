"""Money that goes back over HTTP: a thin layer over ``transactions.services``."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from transactions import services
from transactions.serializers import ReversalSerializer, TransactionSerializer, answer_of
from transactions.views.answering import KEY_HEADER, is_operator, money_request, respond
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
    def post(self, request: HttpRequest, transaction_id: uuid.UUID) -> Response:
        values = ReversalSerializer.take(request.data)
        outcome = services.reverse_transaction(
            transaction_id=transaction_id,
            request=money_request(request, values),
            is_operator=is_operator(request, "transactions.reverse_transaction"),
            amount=values.get("amount"),
            reason=values.get("reason", ""),
        )
        own = wallet_ids_of(caller_of(request))
        return respond(answer_of(outcome, own_wallets=own), is_replay=outcome.is_replay)
