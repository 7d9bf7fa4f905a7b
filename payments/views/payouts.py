"""Sending money out."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import page_of, paginate
from fintech_core.serializers import NothingSerializer
from payments import selectors, services
from payments.serializers import (
    NewPayoutSerializer,
    PaymentPageQuery,
    PayoutSerializer,
)
from transactions.serializers import answer_of
from transactions.views.answering import KEY_HEADER, money_request, respond
from users.authentication import caller_of


@extend_schema(tags=["payments"])
class PayoutListView(APIView):
    """The caller's payouts, and new ones."""

    @extend_schema(
        operation_id="payout_list",
        parameters=[PaymentPageQuery],
        responses={200: page_of(PayoutSerializer, "PayoutPage"), **PROBLEMS},
    )
    def get(self, request: HttpRequest) -> Response:
        return paginate(
            selectors.list_payouts_of(caller_of(request)),
            request,
            query=PaymentPageQuery.take(request.query_params),
            represent=lambda rows: [selectors.describe_payout(row) for row in rows],
        )

    @extend_schema(
        operation_id="payout_create",
        parameters=[KEY_HEADER],
        request=NewPayoutSerializer,
        responses={201: PayoutSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest) -> Response:
        values = NewPayoutSerializer.take(request.data)
        made = services.create_payout(
            user=caller_of(request),
            amount=values["amount"],
            currency=values.get("currency"),
            destination=values["destination"],
            provider=values.get("provider"),
            request=money_request(request, values),
        )
        if made.payout is None:
            return respond(answer_of(made.outcome), is_replay=made.outcome.is_replay)
        headers = {"Idempotency-Replayed": "true"} if made.outcome.is_replay else {}
        return Response(selectors.describe_new_payout(made.payout), 201, headers=headers)


@extend_schema(tags=["payments"])
class PayoutView(APIView):
    """One of the caller's payouts."""

    @extend_schema(operation_id="payout", responses={200: PayoutSerializer, **PROBLEMS})
    def get(self, request: HttpRequest, payout_id: uuid.UUID) -> Response:
        payout = selectors.get_payout_of(caller_of(request), payout_id)
        return Response(selectors.describe_payout(payout))


@extend_schema(tags=["payments"])
class PayoutCancelView(APIView):
    """Call a payout off that was not sent yet."""

    @extend_schema(
        operation_id="payout_cancel",
        request=None,
        responses={200: PayoutSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest, payout_id: uuid.UUID) -> Response:
        NothingSerializer.take(request.data)
        payout = services.cancel_payout(user=caller_of(request), payout_id=payout_id)
        return Response(selectors.describe_payout(payout))
