"""Transfers that are served together are answered as each is by itself, and nothing else is served so."""

import io
import json
import threading
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from fintech_core import gathering, rsgi
from fintech_core.exceptions import OutcomeUnknown, ServiceUnavailable, TookTooLong
from fintech_core.gathering import Answer, Arrived
from fintech_core.tests.test_rsgi import Scope
from transactions.models import Transaction
from transactions.selectors import list_violations
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from transactions.views import gathered
from users.models import User
from users.services import sign_out
from users.tests.factories import access_token, at_once, tokens

pytestmark = pytest.mark.usefixtures("committed")

TRANSFER = "/api/transactions/transactions/transfer/"
# What two answers to the same wish differ in, made under two keys.
OWN = {"id", "reference", "transaction", "created_at", "posted_at", "balance_after", "request_id"}


class Ask:
    """A request to transfer: as Granian hands it over, and as a thread would run it."""

    def __init__(self, payer: User, body: Any, token: str = "", **headers: str) -> None:
        self.raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = {
            "host": "localhost:8000",
            "authorization": f"Bearer {token or access_token(payer)}",
            "content_type": "application/json",
            "content_length": str(len(self.raw)),
            **headers,
        }
        self.scope = Scope(TRANSFER, **head)

    def alone(self) -> Answer:
        environ = rsgi._environ(self.scope, self.scope.headers, self.raw)
        assert isinstance(environ["wsgi.input"], io.BytesIO)
        return rsgi._run(environ)


def together(*asks: Ask) -> list[Answer | None]:
    """What they are answered in one group; None for those that go the ordinary way."""
    nobody: Any = SimpleNamespace(done=lambda: False)
    waiting = [
        gathering._Waiting(each.scope, each.scope.headers, each.raw, 0.0, nobody) for each in asks
    ]
    gatherer = gathering.Gathering(gathered.serve)
    return gatherer._answers_to(waiting)


def body_for(payee: User, amount: str = "1.00", **members: Any) -> dict[str, Any]:
    key = {} if "idempotency_key" in members else {"idempotency_key": uuid.uuid4().hex}
    return {"to_user_email": payee.email, "amount": amount, **key, **members}


def told(answer: Answer | None, *, but: set[str] = frozenset()) -> tuple[Any, ...]:  # type: ignore[assignment]
    assert answer is not None
    body = {name: value for name, value in json.loads(answer.content).items() if name not in but}
    headers = {name.lower(): value for name, value in answer.headers}
    headers.pop("x-request-id")
    return answer.status, body, headers


def test_a_transfer_is_answered_the_same_both_ways() -> None:
    payer, payee = make_payer(), make_payee()
    [short] = together(Ask(payer, body_for(payee, description="tea")))
    ordinary = Ask(payer, body_for(payee, description="tea")).alone()
    assert told(short, but=OWN) == told(ordinary, but=OWN)
    assert short is not None
    assert (short.status, json.loads(short.content)["balance_after"]) == (201, "99.00")
    assert list(json.loads(short.content)) == list(json.loads(ordinary.content))
    assert balance_of(payee) == "2.00"


@pytest.mark.parametrize("is_short_first", [True, False])
def test_a_retry_gets_the_first_answer_whichever_way_it_comes(is_short_first: bool) -> None:
    payer, payee = make_payer(), make_payee()
    ask = Ask(payer, body_for(payee))
    ways: list[Callable[[], Answer | None]] = [lambda: together(ask)[0], ask.alone]
    first, again = (way() for way in (ways if is_short_first else ways[::-1]))
    assert first is not None and again is not None  # noqa: PT018
    assert again.content == first.content
    assert dict(again.headers)["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in dict(first.headers)
    assert told(together(ask)[0]) == told(ask.alone())
    assert balance_of(payee) == "1.00"


def test_a_recorded_decline_is_answered_the_same_both_ways() -> None:
    payer, payee = make_payer("0.00"), make_payee()
    [short] = together(Ask(payer, body_for(payee)))
    assert told(short, but=OWN) == told(Ask(payer, body_for(payee)).alone(), but=OWN)
    assert short is not None
    assert (short.status, json.loads(short.content)["code"]) == (422, "insufficient_funds")


def test_one_group_shares_a_commit_and_each_has_its_own_answer() -> None:
    payers, payee = [make_payer("1.00") for _ in range(3)], make_payee()
    amounts = ["1.00", "2.00", "0.50"]
    asks = [Ask(p, body_for(payee, a)) for p, a in zip(payers, amounts, strict=True)]
    statuses = [answer.status for answer in together(*asks) if answer]
    assert statuses == [201, 422, 201]
    assert balance_of(payee) == "1.50"
    assert list_violations() == []


def test_a_group_looks_at_its_sessions_in_one_statement_and_posts_as_one_transfer_does(
    statements: list[str],
) -> None:
    payers, payee = [make_payer() for _ in range(5)], make_payee()
    asks = [Ask(payer, body_for(payee)) for payer in payers]
    together(asks[0])
    statements.clear()
    assert all(together(asks[1]))
    alone = [*statements]
    statements.clear()
    assert all(together(*asks[2:]))
    assert statements == alone
    assert [text for text in statements if "live_" in text] == ["SELECT * FROM live_sessions"]


@pytest.mark.parametrize(
    "members",
    [
        *({"amount": "0"}, {"amount": 5}, {"amount": "1.001"}, {"currency": "XXX"}, {"other": 1}),
        *({"idempotency_key": " "}, {"idempotency_key": 5}, {"description": "\u202e"}),
        {"to_user_email": "nobody@example.com"},
        {"from_wallet": "0190a5b8-7c6e-7c3b-9c1a-2f6f3a8d9e01"},
    ],
    ids=repr,
)
def test_what_is_refused_unwritten_is_left_to_the_view(members: dict[str, Any]) -> None:
    payer, payee = make_payer(), make_payee()
    good = Ask(payer, body_for(payee))
    bad = Ask(payer, {**body_for(payee), **members})
    answers = together(bad, good)
    assert answers[0] is None
    assert answers[1] is not None
    assert answers[1].status == 201
    assert 400 <= bad.alone().status < 500
    assert Transaction.objects.filter(initiated_by=payer).count() == 1


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"a":1,"a":2}', b"\xff", b"null"])
def test_a_body_that_is_no_transfer_is_left_to_the_view(raw: bytes) -> None:
    ask = Ask(make_payer(), raw)
    assert together(ask) == [None]
    assert ask.alone().status == 400


@pytest.mark.parametrize("header", ["", "Bearer x", "Basic eA==", "Bearer " + "x" * 3_000])
def test_who_proves_nothing_is_left_to_the_view(header: str) -> None:
    payee = make_payee()
    ask = Ask(payee, body_for(payee), authorization=header)
    assert together(ask) == [None]
    assert ask.alone().status == 401


def test_sessions_are_looked_at_each_time_and_one_by_one() -> None:
    payers, payee = [make_payer() for _ in range(4)], make_payee()
    pairs = [tokens(payer) for payer in payers]

    def ask(number: int) -> Ask:
        return Ask(payers[number], body_for(payee), pairs[number].access)

    assert all(together(*(ask(number) for number in range(4))))
    sign_out(refresh=pairs[0].refresh)
    User.objects.filter(pk=payers[1].pk).update(is_active=False)
    User.objects.filter(pk=payers[2].pk).update(token_version=7)
    answers = together(*(ask(number) for number in range(4)))
    assert [answer is not None for answer in answers] == [False, False, False, True]
    assert [ask(number).alone().status for number in range(3)] == [401] * 3


@contextmanager
def locked(user: User) -> Any:
    """Somebody else holds the user's wallet."""
    with psycopg.connect(settings.DATABASE_OWNER_URL.rsplit("/", 1)[0] + "/" + _name()) as other:
        other.execute("SELECT 1 FROM wallet_wallet WHERE id = %s FOR UPDATE", [wallet_of(user).pk])
        yield


def _name() -> str:
    return str(connection.settings_dict["NAME"])


def test_a_wallet_that_somebody_has_locked_sends_the_group_the_ordinary_way() -> None:
    payer, other, payee = make_payer(), make_payer(), make_payee()
    asks = [Ask(payer, body_for(payee)), Ask(other, body_for(payee))]
    with locked(payer):
        assert together(*asks) == [None, None]
    assert [ask.alone().status for ask in asks] == [201, 201]
    assert balance_of(payee) == "2.00"


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (ServiceUnavailable(), 503, "1"),
        (OutcomeUnknown(), 503, "1"),
    ],
)
def test_what_the_database_cannot_tell_is_answered_at_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, retry_after: str
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(gathered, "post_group", fail)
    payer, payee = make_payer(), make_payee()
    [answer] = together(Ask(payer, body_for(payee), x_request_id="r-1"))
    assert answer is not None
    problem = json.loads(answer.content)
    assert (answer.status, problem["request_id"], problem["retryable"]) == (status, "r-1", True)
    assert dict(answer.headers)["Retry-After"] == retry_after
    assert dict(answer.headers)["Content-Type"] == "application/problem+json"


def test_what_takes_too_long_sends_the_group_the_ordinary_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> Any:
        raise TookTooLong

    monkeypatch.setattr(gathered, "post_group", fail)
    payer, payee = make_payer(), make_payee()
    assert together(Ask(payer, body_for(payee))) == [None]


def test_who_has_named_too_many_strangers_goes_the_ordinary_way(settings: Any) -> None:
    settings.UNKNOWN_RECIPIENTS_PER_HOUR = 2
    payer, payee = make_payer(), make_payee()
    stranger = body_for(payee, to_user_email="nobody@example.com")
    for _ in range(2):
        assert together(Ask(payer, stranger), Ask(payee, stranger)) == [None, None]
        assert Ask(payer, stranger).alone().status == 404
    known = Ask(payer, body_for(payee))
    assert together(known) == [None]
    assert [known.alone().status, Ask(payer, stranger).alone().status] == [429, 429]
    assert together(Ask(make_payer(), body_for(payee))) != [None]


def test_who_asked_from_where_in_which_request_is_written_down(settings: Any) -> None:
    settings.NUM_PROXIES = 1
    payer, payee = make_payer(), make_payee()
    head = {"x_request_id": "r-2", "x_forwarded_for": "203.0.113.7", "x_forwarded_proto": "https"}
    [answer] = together(Ask(payer, body_for(payee), **head))
    assert answer is not None
    row = Transaction.objects.get(pk=json.loads(answer.content)["id"])
    assert (row.request_id, row.client_address) == ("r-2", "203.0.113.7")


def test_the_same_key_in_one_group_moves_money_once() -> None:
    payer, payee = make_payer(), make_payee()
    ask = Ask(payer, body_for(payee))
    first, second = together(ask, ask)
    assert first is not None and second is not None  # noqa: PT018
    assert first.content == second.content
    assert dict(second.headers)["Idempotency-Replayed"] == "true"
    assert balance_of(payee) == "1.00"


def test_both_ways_at_once_move_money_once() -> None:
    payer, payee = make_payer(), make_payee()
    ask = Ask(payer, body_for(payee))

    def act(number: int) -> int:
        answer = together(ask)[0] if number % 2 else ask.alone()
        return answer.status if answer else 0

    assert {*at_once(6, act)} <= {0, 201, 409}
    assert balance_of(payee) == "1.00"
    assert threading.current_thread() is threading.main_thread()


def test_production_behind_a_proxy_sends_the_same_security_headers(settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS = 60
    gathering._standing_headers.cache_clear()
    payer, payee = make_payer(), make_payee()
    try:
        [short] = together(Ask(payer, body_for(payee), x_forwarded_proto="https"))
    finally:
        gathering._standing_headers.cache_clear()
    assert short is not None
    assert dict(short.headers)["Strict-Transport-Security"].startswith("max-age=60")


def test_an_arrived_request_says_no_more_than_its_head() -> None:
    assert set(Arrived._fields) == {"path", "headers", "body", "request_id", "client_address"}
