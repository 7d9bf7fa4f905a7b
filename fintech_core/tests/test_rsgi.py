"""The buffer before the application: what it refuses, what it waits for, and how long."""

import asyncio
import json
import logging
import threading
import time
from functools import partial
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from structlog.stdlib import ProcessorFormatter

from fintech_core import rsgi
from fintech_core.logs import json_formatter
from fintech_core.middleware import REQUEST_LOGGER


class Scope:
    """A request's head as Granian hands it over."""

    http_version, scheme, authority = "1.1", "http", None
    client, server, query_string = "127.0.0.1:50000", "127.0.0.1:8000", ""

    def __init__(self, path: str = "/", method: str = "POST", **headers: str) -> None:
        self.path, self.method = path, method
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Exchange:
    """The body to come, and what was answered."""

    def __init__(self, body: bytes | Exception | None) -> None:
        self.body = body
        self.status = 0
        self.headers: dict[str, str] = {}
        self.content = b""
        self.seconds_a_piece = 0.0
        self.leaves_after: int | None = None

    def __call__(self) -> "asyncio.Future[bytes]":
        reading: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if isinstance(self.body, Exception):
            reading.set_exception(self.body)
        elif self.body is not None:
            reading.set_result(self.body)
        return reading

    def response_bytes(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        assert not self.status, "answered twice"
        self.status, self.headers, self.content = status, dict(headers), content

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> "Exchange":
        self.status, self.headers = status, dict(headers)
        return self

    async def send_bytes(self, piece: bytes) -> None:
        await asyncio.sleep(self.seconds_a_piece)
        if self.leaves_after is not None and len(self.content) >= self.leaves_after:
            raise ConnectionError
        self.content += piece

    @property
    def code(self) -> str:
        return str(json.loads(self.content)["code"])


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """In the application's place: notes the request, sleeps as long as its body says, answers 200."""
    seen: list[Any] = []

    def application(environ: dict[str, Any], start_response: Any) -> HttpResponse:
        seen.append(environ)
        text = environ["wsgi.input"].read()
        if text == b"fails":
            raise RuntimeError(text)
        time.sleep(float(text or 0))
        start_response("200 OK", [("content-type", "text/plain")])
        return HttpResponse(threading.current_thread().name)

    monkeypatch.setattr(rsgi, "wsgi_application", application)
    return seen


def serve(*requests: tuple[Scope, Exchange], threads: int = 2, linger: float = 0) -> float:
    """Seconds until all of them, sent at once, are answered; the server lives on a little."""
    server = rsgi.BufferedApplication(threads)

    async def together() -> float:
        started = time.monotonic()
        await asyncio.gather(*(server.__rsgi__(*request) for request in requests))
        seconds = time.monotonic() - started
        await asyncio.sleep(linger)
        return seconds

    return asyncio.run(together())


def sent(body: bytes | Exception | None, length: int | None = None) -> tuple[Scope, Exchange]:
    known = len(body) if length is None and isinstance(body, bytes) else length
    return Scope(content_length=str(known)), Exchange(body)


def test_a_whole_body_is_answered(applied: list[Any]) -> None:
    request = sent(b"0")
    serve(request)
    assert (request[1].status, applied[0]["CONTENT_LENGTH"]) == (200, "1")


def test_a_request_without_a_body_is_answered(applied: list[Any]) -> None:
    exchange = Exchange(None)
    serve((Scope(method="GET"), exchange))
    assert exchange.status == 200


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (sent(b"1", length=2), 400, "incomplete_body"),
        (sent(RuntimeError("broken off"), length=2), 400, "incomplete_body"),
        (sent(None, length=2), 408, "request_timeout"),
        ((Scope(transfer_encoding="chunked"), Exchange(b"1")), 411, "length_required"),
        (sent(b"", length=rsgi.BODY_BYTES + 1), 413, "body_too_large"),
        ((Scope(content_length="-1"), Exchange(b"")), 413, "body_too_large"),
    ],
    ids=["short", "broken off", "late", "chunked", "large", "no length"],
)
def test_a_body_that_is_not_whole_never_reaches_the_application(
    applied: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    request_: tuple[Scope, Exchange],
    status: int,
    code: str,
) -> None:
    monkeypatch.setattr(rsgi, "BODY_SECONDS", 0.1)
    scope, exchange = request_[0], Exchange(request_[1].body)
    serve((scope, exchange))
    assert (exchange.status, exchange.code) == (status, code)
    assert exchange.headers["connection"] == "close"
    assert applied == []


def test_senders_that_dawdle_hold_no_thread(
    applied: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsgi, "BODY_SECONDS", 0.5)
    slow = [sent(None, length=2) for _ in range(50)]
    started, quick = time.monotonic(), sent(b"0")
    finished: list[float] = []
    respond = quick[1].response_bytes

    def note(*answer: Any) -> None:
        finished.append(time.monotonic() - started)
        respond(*answer)

    monkeypatch.setattr(quick[1], "response_bytes", note)
    serve(*slow, quick, threads=1)
    assert {exchange.status for _, exchange in slow} == {408}
    assert quick[1].status == 200
    assert finished[0] < 0.4


def test_an_answer_that_is_late_is_an_unknown_outcome_and_comes_once(
    applied: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsgi, "ANSWER_SECONDS", 0.1)
    late, quick = sent(b"0.4"), sent(b"0")
    # One thread: the second waits behind the first for longer than it may, and is never begun.
    assert serve(late, quick, threads=1, linger=0.6) < 0.3
    assert [exchange.code for _, exchange in (late, quick)] == ["outcome_unknown"] * 2
    assert len(applied) == 1


def test_more_requests_than_threads_wait_for_their_turn(applied: list[Any]) -> None:
    requests = [sent(b"0.02") for _ in range(20)]
    assert serve(*requests, threads=4) >= 0.1
    assert {exchange.status for _, exchange in requests} == {200}
    assert len({exchange.content for _, exchange in requests}) <= 4


def test_a_thread_survives_what_its_work_raises(applied: list[Any]) -> None:
    server = rsgi.BufferedApplication(1)
    good = sent(b"0")

    async def both() -> None:
        with pytest.raises(RuntimeError):
            await server.__rsgi__(*sent(b"fails"))
        await server.__rsgi__(*good)

    asyncio.run(both())
    assert good[1].status == 200


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In the application's place: streams as many pieces as its body says; notes when it ends."""
    ended: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> StreamingHttpResponse:
        count = int(environ["wsgi.input"].read() or 0)

        def pieces() -> Any:
            try:
                for number in range(count):
                    if number == 5:
                        raise RuntimeError("fails")
                    yield b"x"
                ended.append("whole")
            except GeneratorExit:
                ended.append("left")
                raise

        start_response("200 OK", [("content-type", "text/plain")])
        return StreamingHttpResponse(pieces())

    monkeypatch.setattr(rsgi, "wsgi_application", application)
    return ended


def test_slow_readers_of_long_answers_hold_no_thread(
    streamed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than an answer may take to begin; it makes progress all the while.
    monkeypatch.setattr(rsgi, "ANSWER_SECONDS", 0.2)
    slow = [sent(b"4") for _ in range(10)]
    for _, exchange in slow:
        exchange.seconds_a_piece = 0.1
    assert serve(*slow, threads=1) < 1
    assert {exchange.content for _, exchange in slow} == {b"xxxx"}
    assert streamed == ["whole"] * 10


def test_a_client_that_takes_nothing_or_leaves_ends_what_is_made_for_it(
    streamed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsgi, "SEND_SECONDS", 0.1)
    still, gone = sent(b"4"), sent(b"4")
    still[1].seconds_a_piece, gone[1].leaves_after = 5, 2
    assert serve(still, gone) < 2
    assert (still[1].content, gone[1].content) == (b"", b"xx")
    assert streamed == ["left"] * 2


def test_a_long_answer_that_fails_ends_where_it_failed(
    streamed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    request = sent(b"9")
    serve(request)
    assert request[1].content == b"xxxxx"
    assert [record.message for record in caplog.records] == ["answer_broken_off"]


def test_a_head_request_streams_nothing(streamed: list[str]) -> None:
    exchange = Exchange(b"4")
    serve((Scope(method="HEAD", content_length="1"), exchange))
    assert (exchange.status, exchange.content) == (200, b"")


def test_waits_end_in_their_order_by_one_timer() -> None:
    given_up: list[int] = []

    async def several() -> None:
        deadlines = rsgi.Deadlines(0.3)
        waits = []
        for number in range(4):
            waits.append(deadlines.start(partial(given_up.append, number)))
            await asyncio.sleep(0.02)
        deadlines.end(waits[2])
        assert given_up == []
        await asyncio.sleep(0.5)
        assert given_up == [0, 1, 3]
        deadlines.start(partial(given_up.append, 4))
        await asyncio.sleep(0.5)
        assert given_up == [0, 1, 3, 4]

    asyncio.run(several())


def test_a_request_line_says_the_same_by_the_short_way() -> None:
    record = logging.makeLogRecord(
        {
            "name": REQUEST_LOGGER,
            "msg": "request",
            "levelno": logging.INFO,
            "levelname": "INFO",
            "request_id": "r-1",
            "user": None,
            "method": "GET",
            "route": "/é/",
            "status": 200,
            "duration_ms": 1.5,
        }
    )
    formatter = json_formatter()
    short = json.loads(formatter.format(record))
    long = json.loads(ProcessorFormatter.format(formatter, record))  # type: ignore[arg-type]
    assert short.pop("timestamp")[:16] == long.pop("timestamp")[:16]
    assert (short, list(short)) == (long, list(long))
