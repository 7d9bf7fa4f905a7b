"""The adapter says what the simulated provider says, and bounds what it waits for."""

import datetime
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from fintech_core.money import Money
from fintech_core.signing import new_secret, sign
from payments.providers import transport
from payments.providers.base import (
    InvalidSignature,
    PaymentState,
    PayoutState,
    ProviderPayment,
    ProviderRefund,
    ProviderRefused,
    ProviderUnavailable,
    RefundState,
    UnreadableEvent,
)
from payments.providers.registry import get_provider
from payments.providers.simulator import SimulatorProvider
from payments.tests.simulators import Simulator, eventually, free_port
from simulator.behaviour import AMOUNTS

AMOUNT_OF = {name: amount for amount, name in AMOUNTS.items()}
SECRET = new_secret()


def usd(text: str) -> Money:
    return Money(Decimal(text), "USD")


def marked(name: str) -> Money:
    return Money(Decimal(AMOUNT_OF[name]).scaleb(-2), "USD")


def test_a_payment_from_end_to_end(adapter: SimulatorProvider) -> None:
    intent = uuid.uuid4()
    made = adapter.create_payment(intent_id=intent, amount=usd("50.00"))
    assert (made.intent_id, made.amount) == (intent, usd("50.00"))
    assert made.state is PaymentState.REQUIRES_CONFIRMATION
    assert made.checkout_url
    assert made.client_secret
    assert adapter.create_payment(intent_id=intent, amount=usd("50.00")) == made
    assert adapter.confirm_payment(made.reference).state is PaymentState.PROCESSING
    assert adapter.simulate(made.reference, "succeeded").state is PaymentState.SUCCEEDED
    assert adapter.fetch_payment(made.reference).state is PaymentState.SUCCEEDED
    assert adapter.cancel_payment(made.reference).state is PaymentState.SUCCEEDED
    with pytest.raises(ProviderRefused) as refused:
        adapter.simulate(made.reference, "failed")
    assert refused.value.code == "invalid_state"


@pytest.mark.parametrize(("text", "currency"), [("5000", "JPY"), ("5.000", "KWD"), ("0.01", "USD")])
def test_amounts_keep_their_places(adapter: SimulatorProvider, text: str, currency: str) -> None:
    amount = Money(Decimal(text), currency)
    made = adapter.create_payment(intent_id=uuid.uuid4(), amount=amount)
    assert made.amount == amount


def test_refunds_and_payouts_end(adapter: SimulatorProvider) -> None:
    payment = adapter.create_payment(intent_id=uuid.uuid4(), amount=usd("50.00")).reference
    with pytest.raises(ProviderRefused) as refused:
        adapter.refund(refund_id=uuid.uuid4(), payment=payment, amount=usd("1.00"))
    assert refused.value.code == "payment_not_refundable"
    adapter.simulate(payment, "succeeded")
    own = uuid.uuid4()
    refund = adapter.refund(refund_id=own, payment=payment, amount=usd("1.00"))
    assert (refund.refund_id, refund.payment, refund.amount) == (own, payment, usd("1.00"))
    payout = adapter.pay_out(payout_id=own, amount=usd("2.00"), destination="DE00 1234")
    assert (payout.payout_id, payout.amount) == (own, usd("2.00"))
    eventually(lambda: adapter.fetch_refund(refund.reference).state is RefundState.SUCCEEDED)
    eventually(lambda: adapter.fetch_payout(payout.reference).state is PayoutState.PAID)


def test_what_it_refuses_is_refused(adapter: SimulatorProvider) -> None:
    with pytest.raises(ProviderRefused) as refused:
        adapter.create_payment(intent_id=uuid.uuid4(), amount=marked("refuse"))
    assert refused.value.code == "amount_refused"
    with pytest.raises(ProviderRefused):
        adapter.pay_out(payout_id=uuid.uuid4(), amount=usd("1.00"), destination="Żółw")
    with pytest.raises(ProviderRefused):
        adapter.confirm_payment("pay_../../events?x=")


def test_a_key_that_was_used_with_other_fields_leaves_the_outcome_open(
    adapter: SimulatorProvider,
) -> None:
    """It was used: a payout that is called refused would be given back while it may be paid."""
    own = uuid.uuid4()
    made = adapter.pay_out(payout_id=own, amount=usd("1.00"), destination="DE00 1234")
    with pytest.raises(ProviderUnavailable):
        adapter.pay_out(payout_id=own, amount=usd("1.00"), destination="DE00 4321")
    assert adapter.fetch_payout(made.reference).payout_id == own


@pytest.mark.parametrize("name", ["error", "error_after", "cut"])
def test_an_unknown_outcome_is_cleared_by_the_same_call(
    adapter: SimulatorProvider, name: str
) -> None:
    intent = uuid.uuid4()
    with pytest.raises(ProviderUnavailable):
        adapter.create_payment(intent_id=intent, amount=marked(name))
    assert adapter.create_payment(intent_id=intent, amount=marked(name)).intent_id == intent


def test_a_provider_that_is_away_is_unavailable(simulator: Simulator) -> None:
    with override_settings(SIMULATOR_URL=f"http://127.0.0.1:{free_port()}"):
        away = SimulatorProvider()
    began = time.monotonic()
    for call in (away.fetch_payment, away.confirm_payment, away.fetch_payout):
        with pytest.raises(ProviderUnavailable):
            call("pay_x")
    assert time.monotonic() - began < 2
    with pytest.raises(ProviderUnavailable):
        list(away.settlement_report(datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)))


def test_a_wrong_key_is_our_trouble_not_a_refusal(simulator: Simulator) -> None:
    with override_settings(SIMULATOR_API_KEY="x" * 40):
        stranger = SimulatorProvider()
    with pytest.raises(ProviderUnavailable):
        stranger.create_payment(intent_id=uuid.uuid4(), amount=usd("1.00"))


def test_it_comes_back_with_the_provider(simulator: Simulator, adapter: SimulatorProvider) -> None:
    made = adapter.create_payment(intent_id=uuid.uuid4(), amount=usd("1.00"))
    simulator.kill()
    with pytest.raises(ProviderUnavailable):
        adapter.fetch_payment(made.reference)
    simulator.start()
    assert adapter.fetch_payment(made.reference).intent_id == made.intent_id


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n",
        b"rubbish\r\n\r\n",
        b"",
    ],
)
def test_an_answer_nobody_can_read_is_no_answer(answer: bytes) -> None:
    with (
        peer(lambda line: line.sendall(answer)) as url,
        override_settings(SIMULATOR_URL=url),
        pytest.raises(ProviderUnavailable),
    ):
        SimulatorProvider().fetch_payment("pay_x")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_provider_that_drips_is_left(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr("payments.providers.simulator.TOTAL_SECONDS", 1.0)

    def drip(line: socket.socket) -> None:
        line.sendall(head)
        for _ in range(200):
            line.sendall(b"x")
            time.sleep(0.1)

    with peer(drip) as url, override_settings(SIMULATOR_URL=url):
        slow = SimulatorProvider()
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            slow.fetch_payment("pay_x")
    assert time.monotonic() - began < 3


def test_more_than_anybody_asked_for_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    response = httpx.Response(200, content=iter([b"x" * 100] * 100))
    with pytest.raises(transport.TooMuch):
        transport.read_bounded(response, most=1_000)


def test_the_proxy_of_the_environment_is_not_asked(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    made = SimulatorProvider().create_payment(intent_id=uuid.uuid4(), amount=usd("1.00"))
    assert made.reference


def test_events_become_what_happened(simulator: Simulator, adapter: SimulatorProvider) -> None:
    own = uuid.uuid4()
    payment = adapter.create_payment(intent_id=own, amount=usd("5.00")).reference
    adapter.simulate(payment, "succeeded")
    refund = adapter.refund(refund_id=own, payment=payment, amount=usd("1.00")).reference
    eventually(lambda: simulator.events(refund))
    events = [read(simulator, adapter, told) for told in simulator.events(payment)]
    assert [event.type for event in events] == [
        "payment.created",
        "payment.processing",
        "payment.succeeded",
    ]
    happened = events[-1].happened
    assert isinstance(happened, ProviderPayment)
    assert (happened.reference, happened.intent_id) == (payment, own)
    assert (happened.state, happened.amount) == (PaymentState.SUCCEEDED, usd("5.00"))
    assert events[-1].created_at.tzinfo is datetime.UTC
    told = read(simulator, adapter, simulator.events(refund)[0]).happened
    assert isinstance(told, ProviderRefund)
    assert (told.payment, told.refund_id, told.state) == (payment, own, RefundState.SUCCEEDED)


def read(simulator: Simulator, adapter: SimulatorProvider, told: dict[str, Any]) -> Any:
    fields = {name: told[name] for name in ("id", "type", "created", "data")}
    return adapter.read_event(*signed(fields, simulator.secret))


def signed(
    told: Any, secret: str = SECRET, *, at: int | None = None, identity: str | None = None
) -> tuple[bytes, dict[str, str]]:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    now = int(time.time()) if at is None else at
    identity = identity or (told["id"] if isinstance(told, dict) and "id" in told else "evt_x")
    return body, {
        "webhook-id": identity,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, identity, now, body),
    }


@pytest.fixture
def reader() -> Iterator[SimulatorProvider]:
    """An adapter without a provider: events are read without one."""
    with override_settings(SIMULATOR_WEBHOOK_SECRET=SECRET):
        yield SimulatorProvider()


def an_event(**changes: Any) -> dict[str, Any]:
    data = {
        "id": "pay_1",
        "merchant_reference": str(uuid.uuid4()),
        "amount": 100,
        "currency": "USD",
        "status": "succeeded",
        "failure_code": "",
        **changes,
    }
    return {
        "id": "evt_1",
        "type": "payment.succeeded",
        "created": "2026-11-22T10:00:00Z",
        "data": data,
    }


def test_a_genuine_event_is_read(reader: SimulatorProvider) -> None:
    assert reader.read_event(*signed(an_event())).event_id == "evt_1"


def test_an_event_of_no_concern_has_nothing_that_happened(reader: SimulatorProvider) -> None:
    for unknown in ("account.updated", "refund.new", "payment", "payment."):
        event = reader.read_event(*signed({**an_event(), "type": unknown, "data": None}))
        assert (event.type, event.happened) == (unknown, None)


def test_someone_elses_reference_is_none_of_ours(reader: SimulatorProvider) -> None:
    happened = reader.read_event(*signed(an_event(merchant_reference="order 7"))).happened
    assert isinstance(happened, ProviderPayment)
    assert happened.intent_id is None


@pytest.mark.parametrize("away", [-301, 302])
def test_an_event_is_believed_for_five_minutes(reader: SimulatorProvider, away: int) -> None:
    with pytest.raises(InvalidSignature):
        reader.read_event(*signed(an_event(), at=int(time.time()) + away))
    nearly = 298 if away > 0 else -298
    reader.read_event(*signed(an_event(), at=int(time.time()) + nearly))


def test_a_changed_body_or_another_secret_is_refused(reader: SimulatorProvider) -> None:
    body, headers = signed(an_event())
    with pytest.raises(InvalidSignature):
        reader.read_event(body.replace(b"100", b"999"), headers)
    with pytest.raises(InvalidSignature):
        reader.read_event(*signed(an_event(), new_secret()))
    for missing in headers:
        with pytest.raises(InvalidSignature):
            reader.read_event(body, {name: headers[name] for name in headers if name != missing})


def test_an_event_signed_as_another_is_refused(reader: SimulatorProvider) -> None:
    with pytest.raises(UnreadableEvent):
        reader.read_event(*signed(an_event(), identity="evt_2"))


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 1.5},
        {"amount": True},
        {"amount": 10**40},
        {"currency": "usd"},
        {"currency": None},
        {"status": "rich"},
        {"status": []},
        {"id": "x" * 256},
        {"id": "a\x00b"},
        {"id": None},
        {"failure_code": {}},
    ],
)
def test_a_signed_event_out_of_shape_is_refused(
    reader: SimulatorProvider, changes: dict[str, Any]
) -> None:
    with pytest.raises(UnreadableEvent):
        reader.read_event(*signed(an_event(**changes)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
LIKE_AN_EVENT = st.fixed_dictionaries(
    {"id": JSON, "type": st.sampled_from(["payment.succeeded", "payout.paid", "x"]) | JSON},
    optional={
        "created": st.just("2026-11-22T10:00:00Z") | JSON,
        "data": JSON
        | st.fixed_dictionaries(
            dict.fromkeys(("id", "merchant_reference", "amount", "currency", "status"), JSON)
            | {"failure_code": JSON}
        ),
    },
)


@given(
    body=st.binary()
    | JSON.map(lambda told: json.dumps(told).encode())
    | LIKE_AN_EVENT.map(lambda told: json.dumps(told).encode())
)
def test_whatever_is_signed_is_read_or_unreadable(body: bytes) -> None:
    with override_settings(SIMULATOR_WEBHOOK_SECRET=SECRET):
        reader = get_provider("simulator")
        with suppress(UnreadableEvent):
            reader.read_event(*signed(body))


@given(
    body=st.binary(),
    headers=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()
    ),
)
def test_whatever_is_sent_only_a_signature_is_invalid(body: bytes, headers: dict[str, str]) -> None:
    with override_settings(SIMULATOR_WEBHOOK_SECRET=SECRET), pytest.raises(InvalidSignature):
        get_provider("simulator").read_event(body, headers)


def test_the_report_is_what_was_moved(simulator: Simulator, adapter: SimulatorProvider) -> None:
    own = uuid.uuid4()
    payment = adapter.create_payment(intent_id=own, amount=usd("100.00")).reference
    adapter.simulate(payment, "succeeded")
    payout = adapter.pay_out(payout_id=own, amount=usd("2.00"), destination="DE00").reference
    eventually(lambda: adapter.fetch_payout(payout).state is PayoutState.PAID)
    today = datetime.datetime.now(datetime.UTC).date()
    rows = {row.reference: row for row in adapter.settlement_report(today, today)}
    paid, sent = rows[payment], rows[payout]
    assert (paid.kind, paid.own_id, paid.amount, paid.fee) == (
        "payment",
        own,
        usd("100.00"),
        usd("1.65"),
    )
    assert (sent.kind, sent.own_id, sent.amount, sent.fee) == (
        "payout",
        own,
        usd("-2.00"),
        usd("0.00"),
    )
    assert paid.settled_at.tzinfo is not None


def test_a_secret_that_is_none_is_said_at_once() -> None:
    with override_settings(SIMULATOR_WEBHOOK_SECRET="rubbish"), pytest.raises(ImproperlyConfigured):
        SimulatorProvider()


@contextmanager
def peer(treat: Callable[[socket.socket], None]) -> Iterator[str]:
    """Somebody who listens, reads a little, and does what he likes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    try:
                        line.recv(4_096)
                        treat(line)
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
