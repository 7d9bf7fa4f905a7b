"""Money moving over HTTP: a thin layer over ``transactions.services`` and ``transactions.selectors``."""

import uuid

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.money import format_amount
from fintech_core.openapi import PROBLEMS
from transactions import selectors
from transactions.serializers import (
    BalanceQuery,
    BalanceSerializer,
    represent_open_hold,
    represent_past_balance,
)
from users.authentication import caller_of
from wallet.selectors import get_wallet_of


@extend_schema(tags=["wallets"])
class BalanceView(APIView):
    """What an own wallet holds, now or at a past moment, in one snapshot."""

    @extend_schema(parameters=[BalanceQuery], responses={200: BalanceSerializer, **PROBLEMS})
    def get(self, request: Request, wallet_id: uuid.UUID) -> Response:
        query = BalanceQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        wallet = get_wallet_of(caller_of(request), wallet_id)
        at = query.validated_data.get("at")
        if at is not None and at < timezone.now():
            return Response(represent_past_balance(selectors.get_past_balance(wallet, at)))
        seen = selectors.get_balance(wallet.pk)
        return Response(
            {
                "currency": seen.currency,
                "balance": format_amount(seen.balance, seen.currency),
                "held": format_amount(seen.held, seen.currency),
                "available": format_amount(seen.balance - seen.held, seen.currency),
                "holds": [represent_open_hold(hold, seen.currency) for hold in seen.holds],
                "as_of_sequence": seen.as_of_sequence,
            }
        )
