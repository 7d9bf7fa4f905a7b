"""Requests that are served together: which are, which go the ordinary way, and when the next ones are."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.http import HttpResponse

from fintech_core import gathering, rsgi
from fintech_core.gathering import Arrived, Served
from fintech_core.tests.test_rsgi import Exchange, Scope

PATH = "/together/"
PLAIN = {"content_type": "application/json", "host": "localhost:8000"}


class Service:
    """Serves all it is given after a while; notes who came with whom."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.seconds = 0.0
        self.leaves: Callable[[Arrived], bool] = lambda _: False
        self.error: type[BaseException] | None = None

    def __call__(self, arrived: Sequence[Arrived]) -> list[Served | None]:
        self.groups.append([each.body for each in arrived])
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        return [None if self.leaves(each) else _served(each) for each in arrived]


def _served(request: Arrived) -> Served:
    return Served(201, b"together " + request.body, "application/json", user="u")


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """In the application's place: notes the body, answers 200."""
    seen: list[bytes] = []

    def application(environ: dict[str, Any], start_response: Any) -> HttpResponse:
        seen.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return HttpResponse("alone")

    monkeypatch.setattr(rsgi, "wsgi_application", application)
    return seen


def sent(body: bytes = b"{}", path: str = PATH, **headers: str) -> tuple[Scope, Exchange]:
    head = {"content_length": str(len(body)), **PLAIN, **headers}
    return Scope(path, **head), Exchange(body)


def serve(service: Service, *requests: tuple[Scope, Exchange], pause: float = 0) -> None:
    """Have all of them answered, one sent after the other."""
    server = rsgi.BufferedApplication(2, {PATH: service})

    async def together() -> None:
        tasks = []
        for request in requests:
            tasks.append(asyncio.ensure_future(server.__rsgi__(*request)))
            await asyncio.sleep(pause)
        await asyncio.gather(*tasks)

    asyncio.run(together())


def test_what_waits_while_one_is_served_is_served_together(
    service: Service, ordinary: list[bytes]
) -> None:
    service.seconds = 0.2
    requests = [sent(b"%d" % number) for number in range(9)]
    serve(service, *requests, pause=0.01)
    assert service.groups[0] == [b"0"]
    assert service.groups[1] == [b"%d" % number for number in range(1, 9)]
    assert [exchange.content for _, exchange in requests] == [
        b"together %d" % number for number in range(9)
    ]
    assert ordinary == []


def test_what_the_short_way_leaves_goes_the_ordinary_one(
    service: Service, ordinary: list[bytes]
) -> None:
    service.seconds = 0.05
    service.leaves = lambda request: request.body == b"odd"
    requests = [sent(b"0"), sent(b"odd"), sent(b"2")]
    serve(service, *requests, pause=0.01)
    assert [exchange.status for _, exchange in requests] == [201, 200, 201]
    assert ordinary == [b"odd"]


@pytest.mark.parametrize("error", [RuntimeError, BaseException])
def test_where_serving_together_fails_each_goes_the_ordinary_way(
    service: Service,
    ordinary: list[bytes],
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    service.error = error
    requests = [sent(b"0"), sent(b"1")]
    serve(service, *requests)
    assert {exchange.status for _, exchange in requests} == {200}
    assert sorted(ordinary) == [b"0", b"1"]
    assert "not_served_together" in {record.message for record in caplog.records}


class Headers(dict[str, str]):
    """One of which came twice, as Granian tells: ``items()`` has both."""

    def items(self) -> Any:
        return [*super().items(), ("authorization", "Bearer b")]


def twice() -> tuple[Scope, Exchange]:
    scope, exchange = sent(authorization="Bearer a")
    scope.headers = Headers(scope.headers)
    return scope, exchange


class Unreadable(dict[str, str]):
    """One of which is not ASCII, as Granian tells: it is counted, and left out of ``items()``."""

    def items(self) -> Any:
        return [item for item in super().items() if item[0] != "x-odd"]


def unreadable() -> tuple[Scope, Exchange]:
    scope, exchange = sent(x_odd="?")
    scope.headers = Unreadable(scope.headers)
    return scope, exchange


def with_query() -> tuple[Scope, Exchange]:
    scope, exchange = sent()
    scope.query_string = "a=b"
    return scope, exchange


@pytest.mark.parametrize(
    "make",
    [
        twice,
        unreadable,
        with_query,
        lambda: sent(content_type="application/json; charset=utf-8"),
        lambda: sent(content_type="text/plain"),
        lambda: sent(content_encoding="gzip"),
        lambda: sent(accept="text/html"),
        lambda: sent(host="elsewhere.example"),
        lambda: sent(host=""),
        lambda: sent(b"x" * (64 * 1024 + 1)),
        lambda: sent(path="/other/"),
        lambda: (Scope(PATH, "PUT", content_length="2", **PLAIN), Exchange(b"{}")),
    ],
)
def test_only_plain_requests_take_the_short_way(
    service: Service, ordinary: list[bytes], make: Callable[[], tuple[Scope, Exchange]]
) -> None:
    request = make()
    serve(service, request)
    assert request[1].status == 200
    assert len(ordinary) == 1
    assert [each for group in service.groups for each in group] == []


def test_time_is_up_for_both_ways_together(
    service: Service,
    ordinary: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rsgi, "ANSWER_SECONDS", 0.15)
    service.seconds = 0.3
    caplog.set_level("INFO", "fintech_core.request")
    late, never = sent(b"late"), sent(b"never")
    serve(service, late, never, pause=0.01)
    assert [exchange.code for _, exchange in (late, never)] == ["outcome_unknown"] * 2
    assert [exchange.headers["retry-after"] for _, exchange in (late, never)] == ["1"] * 2
    time.sleep(0.3)
    lines = [vars(record) for record in caplog.records if record.message == "request"]
    assert [line["status"] for line in lines] == [503, 503], "and none for an answer nobody gets"
    assert [each for group in service.groups for each in group] == [b"late"]
    assert ordinary == []


def test_no_more_than_the_largest_group_are_served_at_once(
    service: Service, ordinary: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "LARGEST", 3)
    service.seconds = 0.05
    serve(service, *[sent(b"%d" % number) for number in range(8)])
    assert max(len(group) for group in service.groups) == 3
    assert sum(len(group) for group in service.groups) == 8


def test_each_leaves_one_line_in_the_log(
    service: Service, ordinary: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fintech_core.request")
    request = sent(x_request_id="mine-1")
    serve(service, request)
    [line] = [vars(record) for record in caplog.records if record.message == "request"]
    told = {"request_id": "mine-1", "user": "u", "method": "POST", "route": PATH, "status": 201}
    assert {name: line[name] for name in told} == told
    assert request[1].headers["X-Request-ID"] == "mine-1"


def test_the_thread_is_named_for_whoever_looks_at_a_process(service: Service) -> None:
    serve(service, sent())
    assert "gathering" in {thread.name for thread in threading.enumerate()}
