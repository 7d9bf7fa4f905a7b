"""Bringing money in, and sending it back."""

import uuid
from datetime import timedelta

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import page_of, paginate
from fintech_core.serializers import NothingSerializer
from payments import selectors, services
from payments.models import PaymentIntent
from payments.serializers import (
    IntentSerializer,
    NewIntentSerializer,
    NewRefundSerializer,
    PaymentPageQuery,
    RefundSerializer,
    SimulationSerializer,
)
from transactions.serializers import answer_of
from transactions.views.answering import KEY_HEADER, is_operator, money_request, respond
from users.attempts import count_attempt
from users.authentication import caller_of

_REPLAYED = {"Idempotency-Replayed": "true"}


def _count_question(request: HttpRequest) -> None:
    """Each request that has a provider asked comes by here first: nobody does so without end."""
    count_attempt(
        scope="payment",
        subject=str(caller_of(request).pk),
        window=timedelta(hours=1),
        limit=settings.PAYMENTS_PER_HOUR,
    )


@extend_schema(tags=["payments"])
class IntentListView(APIView):
    """The caller's payments, and new ones."""

    @extend_schema(
        operation_id="intent_list",
        parameters=[PaymentPageQuery],
        responses={200: page_of(IntentSerializer, "IntentPage"), **PROBLEMS},
    )
    def get(self, request: HttpRequest) -> Response:
        return paginate(
            selectors.list_intents_of(caller_of(request)),
            request,
            query=PaymentPageQuery.take(request.query_params),
            represent=lambda rows: [selectors.describe_intent(row) for row in rows],
        )

    @extend_schema(
        operation_id="intent_create",
        parameters=[KEY_HEADER],
        request=NewIntentSerializer,
        responses={201: IntentSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest) -> Response:
        values = NewIntentSerializer.take(request.data)
        asked = money_request(request, values)
        _count_question(request)
        made = services.create_intent(
            user=caller_of(request),
            amount=values["amount"],
            currency=values.get("currency"),
            provider=values.get("provider"),
            request=asked,
        )
        if made.refusal is not None:
            return respond(answer_of(made.refusal), is_replay=made.is_replay)
        assert made.intent is not None  # noqa: S101  # nosec B101 - no refusal
        headers = _REPLAYED if made.is_replay else {}
        return Response(selectors.describe_new_intent(made.intent), 201, headers=headers)


@extend_schema(tags=["payments"])
class IntentView(APIView):
    """One of the caller's payments."""

    @extend_schema(operation_id="intent", responses={200: IntentSerializer, **PROBLEMS})
    def get(self, request: HttpRequest, intent_id: uuid.UUID) -> Response:
        intent = selectors.get_intent_of(caller_of(request), intent_id)
        return Response(selectors.describe_intent(intent))


class _IntentActView(APIView):
    """Something that a payment's provider is asked for; the answer is the payment as it is then."""

    def post(self, request: HttpRequest, intent_id: uuid.UUID) -> Response:
        NothingSerializer.take(request.data)
        _count_question(request)
        return Response(selectors.describe_intent(self.act(request, intent_id)))

    def act(self, request: HttpRequest, intent_id: uuid.UUID) -> PaymentIntent:
        raise NotImplementedError


@extend_schema(tags=["payments"], request=None, responses={200: IntentSerializer, **PROBLEMS})
class IntentConfirmView(_IntentActView):
    """Let the payment happen."""

    @extend_schema(operation_id="intent_confirm")
    def post(self, request: HttpRequest, intent_id: uuid.UUID) -> Response:
        return super().post(request, intent_id)

    def act(self, request: HttpRequest, intent_id: uuid.UUID) -> PaymentIntent:
        return services.confirm_intent(user=caller_of(request), intent_id=intent_id)


@extend_schema(tags=["payments"], request=None, responses={200: IntentSerializer, **PROBLEMS})
class IntentCancelView(_IntentActView):
    """Keep the payment from happening."""

    @extend_schema(operation_id="intent_cancel")
    def post(self, request: HttpRequest, intent_id: uuid.UUID) -> Response:
        return super().post(request, intent_id)

    def act(self, request: HttpRequest, intent_id: uuid.UUID) -> PaymentIntent:
        return services.cancel_intent(user=caller_of(request), intent_id=intent_id)


@extend_schema(tags=["payments"], request=None, responses={200: IntentSerializer, **PROBLEMS})
class IntentRefreshView(_IntentActView):
    """Ask the provider now, instead of waiting for its webhook."""

    @extend_schema(operation_id="intent_refresh")
    def post(self, request: HttpRequest, intent_id: uuid.UUID) -> Response:
        return super().post(request, intent_id)

    def act(self, request: HttpRequest, intent_id: uuid.UUID) -> PaymentIntent:
        return services.refresh_intent(user=caller_of(request), intent_id=intent_id)


@extend_schema(tags=["payments"])
class IntentSimulateView(APIView):
    """Have the simulated provider say what became of the payment; only where it is switched on."""

    @extend_schema(
        operation_id="intent_simulate",
        request=SimulationSerializer,
        responses={202: IntentSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest, intent_id: uuid.UUID) -> Response:
        values = SimulationSerializer.take(request.data)
        _count_question(request)
        intent = services.simulate_intent(
            user=caller_of(request), intent_id=intent_id, outcome=values["outcome"]
        )
        return Response(selectors.describe_intent(intent), 202)


@extend_schema(tags=["payments"])
class RefundView(APIView):
    """Send a payment back, or a part of it; by its owner or staff."""

    @extend_schema(
        operation_id="intent_refund",
        parameters=[KEY_HEADER],
        request=NewRefundSerializer,
        responses={201: RefundSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest, intent_id: uuid.UUID) -> Response:
        values = NewRefundSerializer.take(request.data)
        made = services.create_refund(
            intent_id=intent_id,
            amount=values.get("amount"),
            request=money_request(request, values),
            is_operator=is_operator(request, services.REFUND_PERMISSION),
        )
        if made.refund is None:
            return respond(answer_of(made.outcome), is_replay=made.outcome.is_replay)
        headers = _REPLAYED if made.outcome.is_replay else {}
        return Response(selectors.describe_new_refund(made.refund), 201, headers=headers)
