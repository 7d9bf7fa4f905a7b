"""The transfer call as docs/api.md promises it: replays, refusals, hostile bodies."""

import json
import time
import uuid
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from transactions.selectors import list_violations
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import api_client

pytestmark = pytest.mark.usefixtures("committed")

TRANSFER = "/api/transactions/transactions/transfer/"
MEMBERS = {
    *("id", "reference", "kind", "status", "amount", "currency", "fee", "from_wallet", "to_wallet"),
    *("from_user_email", "to_user_email", "description", "metadata", "parent", "captured_amount"),
    *("reversed_amount", "decline_code", "created_at", "posted_at", "expires_at", "balance_after"),
}


def body_for(payee: User, amount: str = "1.00", **members: Any) -> dict[str, Any]:
    return {
        "to_user_email": payee.email,
        "amount": amount,
        "idempotency_key": uuid.uuid4().hex,
        **members,
    }


def require_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem, in RFC 9457's form, and tells nothing of the inside."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.content)
    assert problem["code"] == code, problem
    assert {"type", "title", "status", "detail", "code", "request_id", "retryable"} <= set(problem)
    assert len(response.content) < 8192
    assert b"Traceback" not in response.content
    return problem


@pytest.mark.smoke
def test_the_seeds_transfer_works_as_written() -> None:
    payer, payee = make_payer("1000.00"), make_payee()
    response = api_client(payer).post(
        TRANSFER,
        {
            "to_user_email": payee.email,
            "amount": "50.00",
            "description": "Payment",
            "idempotency_key": "txn-123",
        },
        format="json",
    )
    assert response.status_code == 201
    told = response.json()
    assert set(told) == MEMBERS
    assert (told["status"], told["amount"], told["balance_after"]) == ("posted", "50.00", "950.00")
    assert told["created_at"].endswith("Z")
    assert balance_of(payee) == "50.00"


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("form", ["header", "body", "header then body"])
def test_a_retry_gets_the_same_bytes(form: str, flush: bool) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, key = api_client(payer), uuid.uuid4().hex
    body = {"to_user_email": payee.email, "amount": "4.00"}

    def send(where: str) -> Any:
        if where == "header":
            return client.post(TRANSFER, body, format="json", headers={"Idempotency-Key": key})
        return client.post(TRANSFER, body | {"idempotency_key": key}, format="json")

    first = send(form.split(" then ", maxsplit=1)[0])
    if flush:
        cache.clear()
    again = send(form.rsplit(" then ", maxsplit=1)[-1])
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert balance_of(payer) == "6.00"


@pytest.mark.parametrize("flush", [False, True])
def test_a_decline_is_replayed_with_the_same_bytes(flush: bool) -> None:
    payer, payee = make_payer("1.00"), make_payee()
    client, body = api_client(payer), body_for(payee, "2.00")
    first = client.post(TRANSFER, body, format="json")
    if flush:
        cache.clear()
    again = client.post(TRANSFER, body, format="json")
    require_problem(first, 422, "insufficient_funds")
    assert first.content == again.content
    assert again["Idempotency-Replayed"] == "true"


def test_member_order_and_white_space_do_not_make_another_request() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, key = api_client(payer), uuid.uuid4().hex
    texts = (
        f'{{"to_user_email":"{payee.email}","amount":"1.00","idempotency_key":"{key}"}}',
        f'{{ "idempotency_key": "{key}",\n "amount": "1.00", "to_user_email": "{payee.email}" }}',
    )
    answers = [client.post(TRANSFER, text, content_type="application/json") for text in texts]
    assert answers[0].content == answers[1].content
    assert balance_of(payer) == "9.00"


def test_a_key_with_another_request_is_refused() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, body = api_client(payer), body_for(payee)
    client.post(TRANSFER, body, format="json")
    changed = client.post(TRANSFER, body | {"amount": "2.00"}, format="json")
    require_problem(changed, 422, "idempotency_key_reused")
    assert balance_of(payer) == "9.00"


@pytest.mark.parametrize(
    "key", ["", "x" * 256, "a b", "a\tb", "ключ", "a\x00b", 5, None, ["a"], True]
)
def test_a_malformed_key_is_refused(key: Any) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    body = body_for(payee) | {"idempotency_key": key}
    response = api_client(payer).post(TRANSFER, body, format="json")
    require_problem(response, 400, "invalid_idempotency_key")
    assert balance_of(payer) == "10.00"


def test_a_key_is_required_and_must_not_differ_between_header_and_body() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, body = api_client(payer), body_for(payee)
    without = {name: body[name] for name in ("to_user_email", "amount")}
    response = client.post(TRANSFER, without, format="json")
    require_problem(response, 400, "idempotency_key_required")
    response = client.post(TRANSFER, body, format="json", headers={"Idempotency-Key": "other"})
    require_problem(response, 400, "invalid_idempotency_key")
    for length in (1, 255):
        edge = body | {"idempotency_key": "k" * length}
        assert client.post(TRANSFER, edge, format="json").status_code == 201


AMOUNTS: list[Any] = [
    *("0", "-0.00", "-5.00", "10.001", "NaN", "-NaN", "Infinity", "1e2", "1e-2", "1e400"),
    *("0e999999999", " 10 ", "\u00a010", "\u202e01", "010", ".5", "1,000.00", "\uff11\uff10\uff10"),
    *("½", "$10", "", "999999999999999999999.00", "10\x00", "1_000", "+1", "1.", "0x10", "١٢٣"),
    *(10.5, 12345678901234567.89, 10, True, None, ["10.00"], {"a": 1}, "0.00", "0.000"),
]


@pytest.mark.parametrize("amount", AMOUNTS, ids=repr)
def test_a_bad_amount_names_its_field_and_moves_nothing(amount: Any) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    started = time.monotonic()
    response = api_client(payer).post(TRANSFER, body_for(payee, amount=amount), format="json")
    assert time.monotonic() - started < 1
    assert "amount" in require_problem(response, 400, "validation_error")["errors"]
    assert balance_of(payer) == "10.00"


@pytest.mark.parametrize("currency", ["usd", "XXX", "US", None, "", "USDX", 840, "NGN"])
def test_a_currency_is_an_offered_code_in_upper_case(currency: Any) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    response = api_client(payer).post(TRANSFER, body_for(payee, currency=currency), format="json")
    assert "currency" in require_problem(response, 400, "validation_error")["errors"]


RAW = {
    "nan": b'{"amount":NaN}',
    "infinity": b'{"amount":-Infinity}',
    "duplicate": b'{"amount":"1.00","amount":"999.00"}',
    "nested duplicate": b'{"metadata":{"a":"1","a":"2"}}',
    "deep": b"[" * 30_000 + b"]" * 30_000,
    "21 levels": b"[" * 21 + b"]" * 21,
    "single quotes": b"{'amount':'1.00'}",
    "bom": b'\xef\xbb\xbf{"amount":"1.00"}',
    "latin-1": '{"description":"é"}'.encode("latin-1"),
    "blank": b"  ",
    "truncated": b'{"amount":"1.0',
    "two documents": b"{}{}",
    "huge number": b'{"amount":' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("name", RAW)
def test_a_malformed_body_is_refused(name: str) -> None:
    response = api_client(make_payer("0")).post(
        TRANSFER, RAW[name], content_type="application/json"
    )
    require_problem(response, 400, "malformed_json")


@pytest.mark.parametrize("raw", ["", "null", '"x"', "[]", "5", "true"])
def test_a_body_that_is_no_object_is_invalid(raw: str) -> None:
    response = api_client(make_payer("0")).post(TRANSFER, raw, content_type="application/json")
    require_problem(response, 400, "validation_error")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
    + ["application/json; charset=utf-16", "application/xml", ""],
)
def test_only_json_in_utf_8_is_taken(content_type: str) -> None:
    response = api_client(make_payer("0")).generic(
        "POST", TRANSFER, '{"amount": "1.00"}', content_type=content_type
    )
    require_problem(response, 415, "unsupported_media_type")


def test_a_body_over_64_kb_is_refused() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    response = api_client(payer).post(
        TRANSFER, body_for(payee, description="x" * 70_000), format="json"
    )
    require_problem(response, 413, "body_too_large")


@pytest.mark.parametrize(
    "extra",
    [
        {"foo": 1},
        {"status": "posted"},
        {"fee": "-1.00"},
        {"created_at": "1970-01-01"},
        {"from_user": "x"},
        {"kind": "deposit"},
        {"<script>": 1},
    ],
    ids=repr,
)
def test_an_unknown_member_is_refused(extra: dict[str, Any]) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    response = api_client(payer).post(TRANSFER, body_for(payee, **extra), format="json")
    require_problem(response, 400, "validation_error")
    assert b"<script>" not in response.content
    assert balance_of(payer) == "10.00"


_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_NO_UUIDS: list[Any] = [True, 5, "abc", f"urn:uuid:{_ID}", _ID.replace("-", "")]
_NO_WALLETS: list[Any] = [f"{{{_ID}}}", "", None, []]
_BAD_PHONES: list[Any] = ["6502530000", "+1 800 FLOWERS", "tel:+16502530000", 5, ""]
TEXTS: list[tuple[str, Any]] = [
    ("description", "a\x00b"),
    ("description", "\u202e\u2066evil"),
    ("description", "x" * 501),
    ("description", "e\u0301" * 10_000),
    ("description", 5),
    ("description", None),
    ("metadata", "text"),
    ("metadata", [1]),
    ("metadata", 5),
    ("metadata", None),
    ("metadata", {"a": {"b": 1}}),
    ("metadata", {"a": 1}),
    ("metadata", {"a": None}),
    ("metadata", {"": "x"}),
    ("metadata", {"a\x00": "x"}),
    ("metadata", {str(number): "x" for number in range(21)}),
    ("metadata", {"a": "x" * 501}),
    *[("to_wallet", bad) for bad in _NO_UUIDS],
    *[("from_wallet", bad) for bad in _NO_WALLETS],
    *[("to_phone", bad) for bad in _BAD_PHONES],
]


@pytest.mark.parametrize(("field", "value"), TEXTS, ids=lambda value: repr(value)[:40])
def test_a_bad_text_names_its_field(field: str, value: Any) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    body = body_for(payee, **{field: value})
    if field in {"to_wallet", "to_phone"}:
        del body["to_user_email"]
    problem = require_problem(
        api_client(payer).post(TRANSFER, body, format="json"), 400, "validation_error"
    )
    assert any(name.split(".")[0] == field for name in problem["errors"])
    assert balance_of(payer) == "10.00"


def test_a_lone_surrogate_is_refused() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    for member in ('"description":"\\ud800"', '"metadata":{"a":"\\ud800"}', '"\\ud800":1'):
        raw = f'{{"to_user_email":"{payee.email}","amount":"1.00","idempotency_key":"k",{member}}}'
        response = api_client(payer).post(TRANSFER, raw, content_type="application/json")
        require_problem(response, 400, "validation_error")


@pytest.mark.parametrize(
    "text", ["\r\nINFO forged log line", "'; DROP TABLE ledger_entry;--", "=1+1", "é😀", ""]
)
def test_honest_text_is_kept_as_sent(text: str) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    response = api_client(payer).post(TRANSFER, body_for(payee, description=text), format="json")
    assert response.status_code == 201
    assert response.json()["description"] == text


@pytest.mark.parametrize("given", [[], ["to_user_email", "to_wallet"]])
def test_exactly_one_recipient_is_named(given: list[str]) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    values = {"to_user_email": payee.email, "to_wallet": str(wallet_of(payee).pk)}
    body = {"amount": "1.00", "idempotency_key": "k"} | {name: values[name] for name in given}
    require_problem(api_client(payer).post(TRANSFER, body, format="json"), 400, "validation_error")


def test_recipients_are_found_by_email_in_any_case_and_by_wallet() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    by_email = body_for(payee) | {"to_user_email": payee.email.upper()}
    by_wallet = body_for(payee) | {"to_wallet": str(wallet_of(payee).pk)}
    del by_wallet["to_user_email"]
    for body in (by_email, by_wallet):
        assert client.post(TRANSFER, body, format="json").status_code == 201
    assert balance_of(payee) == "2.00"


def test_an_unknown_recipient_uses_up_no_key_and_guessing_is_throttled(settings: Any) -> None:
    settings.UNKNOWN_RECIPIENTS_PER_HOUR = 3
    payer = make_payer("10.00")
    client, body = api_client(payer), body_for(make_payee())
    body["to_user_email"] = f"{uuid.uuid4().hex}@example.com"
    for _ in range(3):
        response = client.post(TRANSFER, body, format="json")
        require_problem(response, 404, "recipient_not_found")
    payee = make_payee()
    for asked in (body, body_for(payee), body_for(payee, amount="1000.00")):
        # Known or not: an answer would tell which.
        refused = client.post(TRANSFER, asked, format="json")
        require_problem(refused, 429, "throttled")
        assert 3500 < int(refused["Retry-After"]) <= 3600
    by_wallet = body_for(payee) | {"to_wallet": str(wallet_of(payee).pk)}
    del by_wallet["to_user_email"]
    assert client.post(TRANSFER, by_wallet, format="json").status_code == 201


def test_without_a_token_nothing_is_said() -> None:
    for method in ("get", "post"):
        response = getattr(APIClient(), method)(TRANSFER)
        require_problem(response, 401, "not_authenticated")
        assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_a_money_action_is_a_post(method: str) -> None:
    response = getattr(api_client(make_payer("0")), method)(TRANSFER)
    require_problem(response, 405, "method_not_allowed")


def test_the_callers_request_id_comes_back_where_it_is_sound() -> None:
    client = api_client(make_payer("0"))
    sound = client.get("/api/wallet/", headers={"X-Request-ID": "abc.DEF_1-2"})
    assert sound["X-Request-ID"] == "abc.DEF_1-2"
    for unsound in ("x" * 129, "a b", "ü", ""):
        response = client.get("/api/wallet/", headers={"X-Request-ID": unsound})
        assert response["X-Request-ID"] != unsound
    assert list_violations() == []
