"""The one way out: compact JSON in UTF-8, and who is given it."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class JSONRenderer(BaseRenderer):
    """JSON by orjson. Decimals never reach it: money is a string by then."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        return orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z)


class Negotiation(DefaultContentNegotiation):
    """DRF's content negotiation, which answers what nearly every client sends without parsing it."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        for parser in parsers:
            if parser.media_type == request.content_type:
                return parser
        return super().select_parser(request, parsers)

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        offered = list(renderers)
        if request.META.get("HTTP_ACCEPT", "*/*") in {"*/*", offered[0].media_type}:
            return offered[0], offered[0].media_type
        selected: tuple[BaseRenderer, str] = super().select_renderer(
            request, offered, format_suffix
        )
        return selected


class Unnegotiated(Negotiation):
    """For callers whose ``Accept`` says nothing: they are answered in JSON."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type
