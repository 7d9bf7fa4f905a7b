"""Conversions over HTTP: a thin layer over ``transactions.services``."""

from datetime import timedelta

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.middleware import client_address, current_request_id
from fintech_core.openapi import PROBLEMS
from fintech_core.problems import PROBLEM_TYPE
from transactions import idempotency, services
from transactions.instructions import Request as KeyedRequest
from transactions.serializers import (
    ConversionSerializer,
    QuoteRequestSerializer,
    QuoteSerializer,
    TransactionSerializer,
    answer_of,
    represent_quote,
)
from users.attempts import count_attempt
from users.authentication import caller_of

_KEY_HEADER = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Or send idempotency_key."
)


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
        parameters=[_KEY_HEADER],
        request=ConversionSerializer,
        responses={201: TransactionSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        body = ConversionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        caller_id, values = caller_of(request).pk, body.validated_data
        key = idempotency.read_key(header=request.headers.get("Idempotency-Key"), body=values)
        keyed = KeyedRequest(
            caller_id=caller_id,
            idempotency_key=key,
            fingerprint=idempotency.fingerprint(
                method="POST", path=request.path, body=request.data
            ),
            request_id=current_request_id(),
            client_address=client_address(request._request),
        )
        outcome = services.convert(
            services.ConversionInstruction(
                caller_id=caller_id,
                request=keyed,
                source_wallet_id=values["from_wallet"],
                target_wallet_id=values["to_wallet"],
                amount=values["amount"],
                quote_id=values.get("quote"),
            )
        )
        answer = answer_of(outcome)
        return Response(
            answer.body,
            answer.status,
            headers={"Idempotency-Replayed": "true"} if outcome.is_replay else {},
            content_type=None if answer.status < 400 else PROBLEM_TYPE,
        )
