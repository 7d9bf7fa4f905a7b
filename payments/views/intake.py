"""Where providers tell what happened: raw bytes in, stored, and answered at once."""

import logging
import string

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.exceptions import DomainError, NotFound
from fintech_core.openapi import PROBLEMS
from fintech_core.renderers import Unnegotiated
from payments.providers.base import InvalidSignature, Provider, UnreadableEvent
from payments.providers.registry import UnknownProvider, get_provider
from payments.services.events import receive_event

logger = logging.getLogger(__name__)

_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


class InvalidWebhookSignature(DomainError):
    """400: this is not what the provider signed, or it was signed more than five minutes from now."""

    status = 400
    code = "invalid_signature"
    title = "The signature is not valid."


class UnreadableWebhook(DomainError):
    """400: the provider signed this, but it is no event that can be read; it should be sent again."""

    status = 400
    code = "unreadable_event"
    title = "The signature is valid, but this event cannot be read."


class BodyTooLarge(DomainError):
    """413: the body is larger than any event may be."""

    status = 413
    code = "body_too_large"
    title = "The body is too large."


class WebhookIntakeView(APIView):
    """Takes a provider's event. Whatever the content type, the signature is over the bytes as sent.

    Before the signature is found good nothing is asked of the database, so that forgeries stay cheap.
    Nothing is published: the relay finds what is stored.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    parser_classes = ()
    # Providers do not choose what they are answered with: whatever they accept, it is JSON.
    content_negotiation_class = Unnegotiated
    http_method_names = ("post",)

    @extend_schema(
        operation_id="payments_webhook",
        tags=["payments"],
        auth=[],
        request={"*/*": OpenApiTypes.BINARY},
        responses={
            200: inline_serializer("WebhookReceived", {"received": serializers.BooleanField()}),
            **PROBLEMS,
        },
    )
    def post(self, request: Request, provider: str) -> Response:
        adapter = _adapter(provider)
        body = request._request.body
        if len(body) > settings.MAX_BODY_BYTES:
            raise BodyTooLarge
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            told = adapter.read_event(body, headers)
        except InvalidSignature:
            raise InvalidWebhookSignature from None
        except UnreadableEvent as unreadable:
            reason = str(unreadable)
            logger.error(  # noqa: TRY400
                "provider_event_unreadable", extra={"provider": provider, "reason": reason}
            )
            raise UnreadableWebhook from None
        if not 1 <= len(told.event_id) <= 255 or not _PRINTABLE.issuperset(told.event_id):
            raise UnreadableWebhook("The event has no id.")
        receive_event(provider=provider, told=told, body=body)
        return Response({"received": True})


def _adapter(name: str) -> Provider:
    try:
        return get_provider(name)
    except UnknownProvider:
        raise NotFound from None
