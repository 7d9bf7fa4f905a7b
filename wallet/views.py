"""Wallets over HTTP: a thin layer over ``wallet.services`` and ``wallet.selectors``."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import page_of, paginate
from users.attempts import count_attempt
from users.authentication import caller_of
from wallet import selectors, services
from wallet.models import Wallet
from wallet.serializers import (
    OpenSerializer,
    OverdraftSerializer,
    ReasonSerializer,
    RenameSerializer,
    WalletPageQuery,
    WalletSerializer,
)


class MayFreezeWallets(BasePermission):
    """Staff who hold ``wallet.freeze_wallet``."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = caller_of(request)
        return user.is_staff and user.has_perm("wallet.freeze_wallet")


class MaySetOverdrafts(BasePermission):
    """Staff who hold ``wallet.set_overdraft``."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = caller_of(request)
        return user.is_staff and user.has_perm("wallet.set_overdraft")


@extend_schema(tags=["wallets"])
class PrimaryWalletView(APIView):
    """The caller's primary wallet."""

    @extend_schema(responses={200: WalletSerializer, **PROBLEMS})
    def get(self, request: Request) -> Response:
        return Response(WalletSerializer(selectors.get_primary_wallet(caller_of(request))).data)


@extend_schema(tags=["wallets"])
class WalletListView(APIView):
    """The caller's wallets."""

    @extend_schema(
        operation_id="wallet_list",
        parameters=[WalletPageQuery],
        responses={200: page_of(WalletSerializer, "WalletPage"), **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        query = WalletPageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return paginate(
            selectors.list_wallets_of(caller_of(request)),
            request,
            query=query.validated_data,
            represent=lambda wallets: [WalletSerializer(wallet).data for wallet in wallets],
        )

    @extend_schema(
        operation_id="wallet_open",
        request=OpenSerializer,
        responses={201: WalletSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        body = OpenSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        caller = caller_of(request)
        # A closed wallet is kept for ever: nobody makes them without end.
        count_attempt(
            scope="wallet",
            subject=str(caller.pk),
            window=timedelta(days=1),
            limit=settings.WALLETS_OPENED_PER_DAY,
        )
        wallet = services.open_wallet(owner=caller, **body.validated_data)
        return Response(WalletSerializer(selectors.get_wallet(wallet.pk)).data, 201)


@extend_schema(tags=["wallets"])
class WalletView(APIView):
    """One of the caller's wallets."""

    @extend_schema(responses={200: WalletSerializer, **PROBLEMS})
    def get(self, request: Request, wallet_id: uuid.UUID) -> Response:
        return Response(
            WalletSerializer(selectors.get_wallet_of(caller_of(request), wallet_id)).data
        )

    @extend_schema(request=RenameSerializer, responses={200: WalletSerializer, **PROBLEMS})
    def patch(self, request: Request, wallet_id: uuid.UUID) -> Response:
        body = RenameSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        services.rename_wallet(
            wallet_id=wallet_id, owner_id=caller_of(request).pk, name=body.validated_data["name"]
        )
        return self.get(request, wallet_id)


@extend_schema(tags=["wallets: staff"])
class OverdraftView(APIView):
    """How far below zero a user's wallet may go."""

    permission_classes = (MaySetOverdrafts,)

    @extend_schema(request=OverdraftSerializer, responses={200: WalletSerializer, **PROBLEMS})
    def patch(self, request: Request, wallet_id: uuid.UUID) -> Response:
        body = OverdraftSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        services.set_overdraft(
            wallet_id=wallet_id,
            limit=body.validated_data["limit"],
            acting_user=caller_of(request),
        )
        return Response(WalletSerializer(selectors.get_wallet(wallet_id)).data)


class StatusChangeView(APIView):
    """An operator's change of a wallet's status, with its reason."""

    permission_classes = (MayFreezeWallets,)
    change: Callable[..., Wallet]

    def post(self, request: Request, wallet_id: uuid.UUID) -> Response:
        body = ReasonSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        type(self).change(
            wallet_id=wallet_id,
            acting_user=caller_of(request),
            reason=body.validated_data["reason"],
        )
        return Response(WalletSerializer(selectors.get_wallet(wallet_id)).data)


_CHANGE = extend_schema(
    tags=["wallets: staff"], request=ReasonSerializer, responses={200: WalletSerializer, **PROBLEMS}
)


@extend_schema_view(post=_CHANGE)
class FreezeView(StatusChangeView):
    """Stop a wallet: nothing leaves it and nothing enters."""

    change = services.freeze_wallet


@extend_schema_view(post=_CHANGE)
class UnfreezeView(StatusChangeView):
    """Let a frozen wallet move money again."""

    change = services.unfreeze_wallet
