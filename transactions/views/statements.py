"""Statements of a wallet, streamed."""

import uuid
from collections.abc import Iterable

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from transactions import selectors
from transactions.serializers import StatementQuery, StatementSerializer, render_statement
from users.authentication import caller_of
from wallet.selectors import get_wallet_of


class FormatDecides(BaseContentNegotiation):
    """The ``format`` parameter says what is sent; what ``Accept`` asks for is not looked at."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


@extend_schema(tags=["wallets"])
class StatementView(APIView):
    """What an own wallet held at the beginning of a day, all entries until the end of another, and what
    it held then. Opening balance and entries always add up to the closing balance."""

    content_negotiation_class = FormatDecides

    @extend_schema(
        operation_id="wallet_statement",
        parameters=[StatementQuery],
        responses={
            (200, "application/json"): StatementSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/pdf"): OpenApiTypes.BINARY,
            **PROBLEMS,
        },
    )
    def get(self, request: Request, wallet_id: uuid.UUID) -> StreamingHttpResponse:
        values = StatementQuery.take(request.query_params)
        first_day, last_day, form = values["from"], values["to"], values["format"]
        wallet = get_wallet_of(caller_of(request), wallet_id)
        statement = selectors.open_statement(wallet, first_day=first_day, last_day=last_day)
        media_type, pieces = render_statement(statement, form)
        name = f"statement-{wallet.pk}-{first_day}-{last_day}.{form}"
        return StreamingHttpResponse(
            pieces,
            content_type=media_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
