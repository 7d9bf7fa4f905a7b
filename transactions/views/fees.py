"""Fees over HTTP: what an operation costs is shown before it is made."""

from datetime import UTC, datetime

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.money import Money
from fintech_core.openapi import PROBLEMS
from transactions.fees import fee_of
from transactions.serializers import FeeQuery, FeeSerializer
from users.authentication import caller_of


@extend_schema(tags=["transactions"])
class FeeView(APIView):
    """What an operation would cost the caller now. Between own wallets a transfer is free."""

    @extend_schema(
        operation_id="fee", parameters=[FeeQuery], responses={200: FeeSerializer, **PROBLEMS}
    )
    def get(self, request: Request) -> Response:
        query = FeeQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        kind, amount = query.validated_data["kind"], query.validated_data["money"]
        tier = caller_of(request).kyc_tier_at(datetime.now(UTC))
        fee = Money(fee_of(kind, tier, amount), amount.currency)
        return Response(
            {
                "kind": kind,
                "amount": str(amount),
                "currency": amount.currency,
                "fee": str(fee),
                "total": str(amount + fee),
            }
        )
