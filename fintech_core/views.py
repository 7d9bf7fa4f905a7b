"""Health, and Django's own error pages as problem details."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import psycopg
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.module_loading import import_string
from drf_spectacular.utils import extend_schema, inline_serializer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.celery import app as celery_app
from fintech_core.problems import problem, problem_http_response

logger = logging.getLogger(__name__)


def _check_database() -> None:
    """On a connection of its own: one that hangs is given up in time, and is nobody else's."""
    wanted = connection.get_connection_params()
    for unwanted in ("cursor_factory", "context"):
        wanted.pop(unwanted, None)
    with psycopg.connect(**{**wanted, "connect_timeout": 2}, autocommit=True) as own:
        own.execute("SELECT 1")


def _check_cache() -> None:
    cache.set("health", "ok", timeout=5)
    if cache.get("health") != "ok":
        raise ConnectionError("the cache lost a value")


def _check_broker() -> None:
    timeouts = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    options = timeouts if settings.BROKER_URL.startswith(("redis", "unix")) else {}
    with celery_app.connection_for_write(connect_timeout=1, transport_options=options) as broker:
        broker.ensure_connection(max_retries=0, timeout=1)


_CHECKS: dict[str, Callable[[], None]] = {
    "database": _check_database,
    "cache": _check_cache,
    "broker": _check_broker,
}


def _run(check: Callable[[], None], name: str) -> str:
    try:
        check()
    except Exception as error:  # Whatever is wrong with a dependency is what this endpoint reports.
        logger.warning("health_check_failed", extra={"check": name, "reason": type(error).__name__})
        return "failed"
    return "ok"


def _are_postings_halted() -> bool:
    ask: Callable[[], bool] = import_string(settings.POSTINGS_HALTED)
    return ask()


_HEALTH = inline_serializer(
    "Health",
    {
        "status": serializers.ChoiceField(["ok", "degraded"]),
        "checks": serializers.DictField(child=serializers.ChoiceField(["ok", "failed", "halted"])),
        "version": serializers.CharField(),
    },
)


class HealthView(APIView):
    """Whether the database, the cache and the broker answer: 200 ``ok`` or 503 ``degraded``.

    While postings are halted, ``ledger`` is named as well, and the answer is 503.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    checks: tuple[str, ...] = ("database", "cache", "broker")
    shows_halts = True

    @extend_schema(tags=["health"], auth=[], responses={200: _HEALTH, 503: _HEALTH})
    def get(self, request: Request) -> Response:
        results = {name: _run(_CHECKS[name], name) for name in self.checks}
        if self.shows_halts and results["database"] == "ok" and _are_postings_halted():
            results["ledger"] = "halted"
        sound = all(result == "ok" for result in results.values())
        return Response(
            {
                "status": "ok" if sound else "degraded",
                "checks": results,
                "version": settings.VERSION,
            },
            status=200 if sound else 503,
        )


class LiveView(HealthView):
    """The process answers; nothing else is asked."""

    checks = ()
    shows_halts = False


class ReadyView(HealthView):
    """The process can serve: money needs the database, and only the database."""

    checks = ("database",)
    shows_halts = False


class HomeView(APIView):
    """Until the web wallet is there, a visitor is shown what the service can do."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    http_method_names = ("get", "head")
    schema = None

    def get(self, request: Request) -> Response:
        return Response(status=302, headers={"Location": reverse("docs")})


class SchemaView(SpectacularAPIView):
    """The OpenAPI schema of everything under ``/api/``."""

    http_method_names = ("get", "head")


class DocsView(SpectacularSwaggerView):
    """The schema as pages to read and try; all of it is served from here."""

    http_method_names = ("get", "head")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's refusal of a form that another site may have sent."""
    return problem_http_response(
        problem(403, "csrf_failed", "The form has expired; load the page again.")
    )


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's 400: a request it refused before any view saw it (host, headers, form size)."""
    return problem_http_response(problem(400, "bad_request", "The request is malformed."))


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's 403."""
    return problem_http_response(problem(403, "permission_denied", "You may not do this."))


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's 404: no such route."""
    return problem_http_response(problem(404, "not_found", "Not found."))


def server_error(request: HttpRequest, **_: Any) -> HttpResponse:
    """Django's 500: the last resort, which logs the stack and shows none of it."""
    logger.error("unexpected_error", exc_info=sys.exc_info())
    return problem_http_response(
        problem(500, "internal_error", "Something went wrong on our side.")
    )
