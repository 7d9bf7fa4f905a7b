"""What every route has in common: errors in one form whatever is asked, and schema and docs from here."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver
from rest_framework.authentication import SessionAuthentication
from rest_framework.views import APIView

from tests.contract.test_transfer_over_http import TRANSFER, body_for, require_problem
from transactions.tests.factories import make_payee, make_payer
from users.models import User
from users.tests.factories import api_client, make_user

pytestmark = pytest.mark.usefixtures("committed")


@pytest.mark.parametrize("path", ["/", "/api/docs/", "/api/schema/", "/api/health/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "PATCH"])
def test_a_wrong_method_is_a_405_in_json(path: str, method: str) -> None:
    response = Client(HTTP_HOST="localhost").generic(method, path)
    require_problem(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/nope", "/api/nope/", "/api/health", "/api//health/", "/%00"])
def test_no_such_route_is_a_404_in_json(path: str) -> None:
    require_problem(Client(HTTP_HOST="localhost").get(path), 404, "not_found")


def test_an_unknown_host_is_a_400_in_json() -> None:
    require_problem(Client(HTTP_HOST="evil.example").get("/api/wallet/"), 400, "bad_request")


def test_a_form_from_elsewhere_is_a_403_in_json() -> None:
    client = Client(HTTP_HOST="localhost", enforce_csrf_checks=True)
    require_problem(client.post("/admin/login/", {"username": "x"}), 403, "csrf_failed")


def test_an_unforeseen_error_is_a_bare_500(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("wallet.selectors.get_primary_wallet", fail)
    response = api_client(make_payee()).get("/api/wallet/")
    require_problem(response, 500, "internal_error")
    assert b"secret detail" not in response.content


def test_a_visitor_is_led_to_pages_that_need_no_other_host() -> None:
    client = Client(HTTP_HOST="localhost")
    assert client.get("/")["Location"] == "/api/docs/"
    page = client.get("/api/docs/").content.decode()
    assert "http://" not in page.replace("http://localhost", "")
    assert "https://" not in page


def test_the_schema_is_openapi_3_1_and_names_every_route() -> None:
    answer = Client(HTTP_HOST="localhost").get(
        "/api/schema/", headers={"Accept": "application/json"}
    )
    schema = json.loads(answer.content)
    assert schema["openapi"].startswith("3.1")
    assert {TRANSFER, "/api/auth/login/", "/api/health/", "/api/wallet/"} <= set(schema["paths"])


@pytest.mark.parametrize("media_type", ["*/*", "application/*", "application/jsonx"])
def test_the_content_type_is_exactly_json(media_type: str) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    raw = json.dumps(body_for(payee))
    response = api_client(payer).generic("POST", TRANSFER, raw, content_type=media_type)
    require_problem(response, 415, "unsupported_media_type")


def test_a_coded_body_is_refused() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    response = api_client(payer).post(
        TRANSFER, body_for(payee), format="json", headers={"Content-Encoding": "gzip"}
    )
    require_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("size", ["1_0", "1.0", "%2010", "٣", "+5", "1e1"])
def test_a_page_size_is_digits(size: str) -> None:
    path = f"/api/transactions/transactions/?page_size={size}"
    require_problem(api_client(make_payee()).get(path), 400, "validation_error")


@pytest.mark.parametrize("at", ["2026-11-22", "2026-11-22T00:00:00", "now", "1700000000", "%00"])
def test_a_moment_has_a_time_and_an_offset(at: str) -> None:
    user = make_payee()
    path = f"/api/wallet/wallets/{user.wallet.pk}/balance/?at={at}"
    require_problem(api_client(user).get(path), 400, "validation_error")


def test_a_400_always_names_a_field() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    body = {name: value for name, value in body_for(payee).items() if name != "idempotency_key"}
    client = api_client(payer)
    problem = require_problem(
        client.post(TRANSFER, body, format="json"), 400, "idempotency_key_required"
    )
    assert list(problem["errors"]) == ["idempotency_key"]
    problem = require_problem(
        client.get("/api/transactions/transactions/?cursor=x"), 400, "invalid_cursor"
    )
    assert list(problem["errors"]) == ["cursor"]


def test_blanks_are_no_reason_and_no_name() -> None:
    user = make_payee()
    path = f"/api/wallet/wallets/{user.wallet.pk}/"
    response = api_client(user).patch(path, {"name": "   "}, format="json")
    require_problem(response, 400, "validation_error")


def test_a_session_of_the_pages_means_nothing_to_the_api() -> None:
    client = Client(HTTP_HOST="localhost")
    client.force_login(User.objects.create_superuser(f"{uuid.uuid4().hex}@example.com"))
    response = client.get("/api/wallet/")
    require_problem(response, 401, "not_authenticated")
    assert "Set-Cookie" not in response
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("path", ["/api/health/live/", "/api/nope/", "/admin/login/"])
def test_every_answer_says_how_a_browser_must_treat_it(path: str) -> None:
    response = Client(HTTP_HOST="localhost").get(path)
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert (response.get("Cache-Control") == "no-store") == path.startswith("/api/")


@pytest.mark.parametrize(
    ("accepted", "status"),
    [
        (None, 200),
        ("*/*", 200),
        ("application/json", 200),
        ("text/html, application/*;q=0.9", 200),
        ("text/html", 406),
        ("application/xml", 406),
    ],
)
def test_json_is_served_to_whoever_takes_it(accepted: str | None, status: int) -> None:
    headers = {"Accept": accepted} if accepted else {}
    response = api_client(make_payee()).get("/api/wallet/", headers=headers)
    assert response.status_code == status
    if status == 406:
        require_problem(response, 406, "not_acceptable")


def test_every_view_of_the_api_is_one_that_takes_no_cookie() -> None:
    """The API is answered before the CSRF check: no view there may believe a cookie."""
    views = [
        pattern.callback
        for prefix, pattern in _patterns(get_resolver().url_patterns, "")
        if prefix.startswith("api/")
    ]
    assert len(views) > 10
    for view in views:
        assert issubclass(view.cls, APIView)
        assert SessionAuthentication not in view.cls.authentication_classes


# A provider's event is whatever the provider sends.
_TAKES_ANYTHING = {"api/payments/webhooks/<str:provider>/"}


def _patterns(found: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in found:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns, path)
        else:
            yield path, pattern


def _writes() -> Iterator[Any]:
    """Each path of the API, and the methods of it that a body may come with."""
    for path, pattern in _patterns(get_resolver().url_patterns, ""):
        if not path.startswith("api/") or path in _TAKES_ANYTHING:
            continue
        for method in ("post", "put", "patch"):
            if method in pattern.callback.cls.http_method_names and hasattr(
                pattern.callback.cls, method
            ):
                yield pytest.param(method, path, id=f"{method} {path}")


@pytest.mark.parametrize(("method", "path"), list(_writes()))
def test_an_unknown_member_is_refused_wherever_a_body_is_taken(method: str, path: str) -> None:
    """Before anything else is looked at: not even what the path names has to be there."""
    client = api_client(make_user(tier=2, is_staff=True, is_superuser=True))
    address = "/" + re.sub(r"<uuid:\w+>", lambda _: str(uuid.uuid4()), path)
    assert "<" not in address
    format_ = "multipart" if path == "api/users/me/kyc/" else "json"
    answer = getattr(client, method)(
        address, {"surprise": "1"}, format=format_, headers={"Idempotency-Key": uuid.uuid4().hex}
    )
    require_problem(answer, 400, "validation_error")
    assert "This field is not known here." in answer.json()["errors"]["surprise"]
