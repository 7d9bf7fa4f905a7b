"""Webhooks over HTTP: a thin layer over ``webhooks.services`` and ``webhooks.selectors``."""

import uuid
from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import page_of, paginate
from fintech_core.serializers import NothingSerializer
from users.authentication import caller_of
from webhooks import selectors, services
from webhooks.models import Delivery, Endpoint
from webhooks.serializers import (
    ChangedEndpointSerializer,
    DeliveryPageQuery,
    DeliverySerializer,
    EndpointPageQuery,
    EndpointSerializer,
    EndpointWithSecretSerializer,
    NewEndpointSerializer,
    RedeliveredSerializer,
    RedeliveryRangeSerializer,
)

_ACCEPTED = OpenApiResponse(description="It will be sent.")


def _with_secret(endpoint: Endpoint, secret: str) -> dict[str, Any]:
    return {**EndpointSerializer(endpoint).data, "secret": secret}


@extend_schema(tags=["webhooks"])
class EndpointListView(APIView):
    """The caller's endpoints."""

    @extend_schema(
        operation_id="webhook_endpoint_list",
        parameters=[EndpointPageQuery],
        responses={200: page_of(EndpointSerializer, "WebhookEndpointPage"), **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        return paginate(
            selectors.list_endpoints_of(caller_of(request)),
            request,
            query=EndpointPageQuery.take(request.query_params),
            represent=lambda rows: [EndpointSerializer(row).data for row in rows],
        )

    @extend_schema(
        operation_id="webhook_endpoint_create",
        request=NewEndpointSerializer,
        responses={201: EndpointWithSecretSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        endpoint, secret = services.create_endpoint(
            acting_user=caller_of(request), **NewEndpointSerializer.take(request.data)
        )
        return Response(_with_secret(endpoint, secret), status=201)


@extend_schema(tags=["webhooks"])
class EndpointView(APIView):
    """One endpoint of the caller's."""

    @extend_schema(
        operation_id="webhook_endpoint_retrieve", responses={200: EndpointSerializer, **PROBLEMS}
    )
    def get(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        endpoint = selectors.get_endpoint_of(caller_of(request), endpoint_id)
        return Response(EndpointSerializer(endpoint).data)

    @extend_schema(
        operation_id="webhook_endpoint_update",
        request=ChangedEndpointSerializer,
        responses={200: EndpointSerializer, **PROBLEMS},
    )
    def patch(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        endpoint = services.update_endpoint(
            acting_user=caller_of(request),
            endpoint_id=endpoint_id,
            changes=ChangedEndpointSerializer.take(request.data),
        )
        return Response(EndpointSerializer(endpoint).data)

    @extend_schema(
        operation_id="webhook_endpoint_delete",
        responses={204: OpenApiResponse(description="Done."), **PROBLEMS},
    )
    def delete(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        services.delete_endpoint(acting_user=caller_of(request), endpoint_id=endpoint_id)
        return Response(status=204)


@extend_schema(tags=["webhooks"])
class RotateSecretView(APIView):
    """A new secret for an endpoint; the old one signs beside it for a day."""

    @extend_schema(
        operation_id="webhook_endpoint_rotate_secret",
        request=None,
        responses={200: EndpointWithSecretSerializer, **PROBLEMS},
    )
    def post(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        NothingSerializer.take(request.data)
        endpoint, secret = services.rotate_secret(
            acting_user=caller_of(request), endpoint_id=endpoint_id
        )
        return Response(_with_secret(endpoint, secret))


@extend_schema(tags=["webhooks"])
class EndpointRedeliverView(APIView):
    """Sends an endpoint again what was made for it in a span of time."""

    @extend_schema(
        operation_id="webhook_endpoint_redeliver",
        request=RedeliveryRangeSerializer,
        responses={202: RedeliveredSerializer, **PROBLEMS},
    )
    def post(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        asked = RedeliveryRangeSerializer.take(request.data)
        count, has_more = services.redeliver_range(
            acting_user=caller_of(request),
            endpoint_id=endpoint_id,
            since=asked["from"],
            before=asked["to"],
            status=asked.get("status"),
        )
        return Response({"count": count, "has_more": has_more}, status=202)


@extend_schema(tags=["webhooks"])
class DeliveryListView(APIView):
    """What is, was or could not be delivered to the caller's endpoints, newest first."""

    @extend_schema(
        operation_id="webhook_delivery_list",
        parameters=[DeliveryPageQuery],
        responses={200: page_of(DeliverySerializer, "WebhookDeliveryPage"), **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        asked = DeliveryPageQuery.take(request.query_params)
        deliveries = selectors.list_deliveries_of(
            caller_of(request),
            endpoint_id=asked.get("endpoint"),
            event_type=asked.get("event_type"),
            status=asked.get("status"),
            since=asked.get("from"),
            before=asked.get("to"),
        )
        return paginate(deliveries, request, query=asked, represent=_represent)


def _represent(rows: Sequence[Delivery]) -> list[Any]:
    return [DeliverySerializer(row).data for row in rows]


@extend_schema(tags=["webhooks"])
class DeliveryView(APIView):
    """One delivery."""

    @extend_schema(
        operation_id="webhook_delivery_retrieve", responses={200: DeliverySerializer, **PROBLEMS}
    )
    def get(self, request: Request, delivery_id: uuid.UUID) -> Response:
        delivery = selectors.get_delivery_of(caller_of(request), delivery_id)
        return Response(DeliverySerializer(delivery).data)


@extend_schema(tags=["webhooks"])
class RedeliverView(APIView):
    """Sends one delivery again, under the same ``webhook-id``."""

    @extend_schema(
        operation_id="webhook_delivery_redeliver",
        request=None,
        responses={202: _ACCEPTED, **PROBLEMS},
    )
    def post(self, request: Request, delivery_id: uuid.UUID) -> Response:
        NothingSerializer.take(request.data)
        services.redeliver(acting_user=caller_of(request), delivery_id=delivery_id)
        return Response({"count": 1}, status=202)
