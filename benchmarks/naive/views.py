"""A token that says who asks, the user from the database, serializers for body and answer."""

import os
from typing import Any

import jwt
from django.urls import path
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.naive.models import NaiveTransaction, NaiveUser, NaiveWallet
from benchmarks.naive.services import InsufficientFunds, transfer


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer`` with a signed token, whose subject is a user's address."""

    def authenticate(self, request: Request) -> tuple[NaiveUser, str] | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, os.environ["BENCH_SECRET"], algorithms=["HS256"])
            return NaiveUser.objects.get(email=claims["sub"], is_active=True), token
        except (jwt.InvalidTokenError, NaiveUser.DoesNotExist):
            raise AuthenticationFailed from None


class AskedSerializer(serializers.Serializer[Any]):
    to_user_email = serializers.EmailField()
    amount = serializers.DecimalField(max_digits=20, decimal_places=2, min_value=0)
    idempotency_key = serializers.CharField(max_length=64)


class MadeSerializer(serializers.ModelSerializer[NaiveTransaction]):
    class Meta:
        model = NaiveTransaction
        fields = ("id", "status", "amount", "from_wallet", "to_wallet", "created_at")


class TransferView(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)

    def post(self, request: Request) -> Response:
        asked = AskedSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        payer = NaiveWallet.objects.get(owner=request.user.pk)
        email = asked.validated_data["to_user_email"]
        recipient = get_object_or_404(NaiveWallet, owner__email=email)
        try:
            made = transfer(
                payer_id=payer.pk,
                recipient_id=recipient.pk,
                amount=asked.validated_data["amount"],
                key=asked.validated_data["idempotency_key"],
            )
        except InsufficientFunds:
            raise ValidationError("insufficient_funds") from None
        return Response(MadeSerializer(made).data, status=201)


urlpatterns = [path("transfer/", TransferView.as_view())]
