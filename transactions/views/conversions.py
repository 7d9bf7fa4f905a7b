"""Conversions over HTTP: a thin layer over ``transactions.services``."""

from datetime import timedelta

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from transactions import services
from transactions.serializers import (
    ConversionSerializer,
    QuoteRequestSerializer,
    QuoteSerializer,
    TransactionSerializer,
    answer_of,
    represent_quote,
)
from transactions.views.answering import KEY_HEADER, money_request, respond
from users.attempts import count_attempt
from users.authentication import caller_of


@extend_schema(tags=["transactions"])
class QuoteView(APIView):
    """What a conversion between two own wallets would bring and cost; kept for one conversion."""

    @extend_schema(
        operation_id="quote",
        request=QuoteRequestSerializer,
        responses={201: QuoteSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        body = QuoteRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        caller, values = caller_of(request), body.validated_data
        # A quote is a promise that costs the platform something: nobody collects them.
        count_attempt(
            scope="quote",
            subject=str(caller.pk),
            window=timedelta(hours=1),
            limit=settings.QUOTES_PER_HOUR,
        )
        quote = services.quote_conversion(
            owner=caller,
            source_wallet_id=values["from_wallet"],
            target_wallet_id=values["to_wallet"],
            amount=values["amount"],
        )
        return Response(represent_quote(quote), 201)


@extend_schema(tags=["transactions"])
class ConversionView(APIView):
    """Convert money between two own wallets of different currencies."""

    @extend_schema(
        operation_id="convert",
        parameters=[KEY_HEADER],
        request=ConversionSerializer,
        responses={201: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        values = ConversionSerializer.take(request.data)
        outcome = services.convert(
            services.ConversionInstruction(
                caller_id=caller_of(request).pk,
                request=money_request(request, values),
                source_wallet_id=values["from_wallet"],
                target_wallet_id=values["to_wallet"],
                amount=values["amount"],
                quote_id=values.get("quote"),
            )
        )
        return respond(answer_of(outcome), is_replay=outcome.is_replay)
