"""Closing a wallet over HTTP; the ledger answers it, since it ends expired holds first."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.serializers import NothingSerializer
from transactions import services
from users.authentication import caller_of
from wallet.selectors import get_wallet
from wallet.serializers import WalletSerializer


@extend_schema(tags=["wallets"])
class CloseWalletView(APIView):
    """Close an own wallet for ever; it must be empty."""

    @extend_schema(
        operation_id="wallet_close", request=None, responses={200: WalletSerializer, **PROBLEMS}
    )
    def post(self, request: Request, wallet_id: uuid.UUID) -> Response:
        NothingSerializer.take(request.data)
        services.close_wallet(wallet_id=wallet_id, owner_id=caller_of(request).pk)
        return Response(WalletSerializer(get_wallet(wallet_id)).data)
