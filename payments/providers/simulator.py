"""The adapter of the simulated provider (docs/providers.md): its API over HTTP, its events."""

import csv
import datetime
import json
import logging
import re
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from fintech_core.money import Money, places_of
from fintech_core.signing import InvalidMessage, sign, verify
from payments.providers.base import (
    InvalidSignature,
    PaymentState,
    PayoutState,
    ProviderEvent,
    ProviderObject,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
    ProviderRefused,
    ProviderUnavailable,
    RefundState,
    SettlementRow,
    UnreadableEvent,
)
from payments.providers.transport import (
    TOTAL_SECONDS,
    TRANSPORT_FAILURES,
    TooMuch,
    bounded_client,
    deadline,
    read_bounded,
)

REPORT_SECONDS = 60.0
# It will never do this; any other error says that it cannot now, or that it does not know our key.
REFUSALS = {400, 402, 404, 409}
# The key was used with other fields, so something happened: no refusal.
KEY_REUSED = "idempotency_key_reused"
# What may be wrong with what it sends.
UNREADABLE = (ArithmeticError, KeyError, RecursionError, TypeError, ValueError)
FAILURES = (*TRANSPORT_FAILURES, TooMuch)
_TEXT = re.compile(r"[ -~]{0,255}", re.ASCII)

T = TypeVar("T")

logger = logging.getLogger(__name__)


class SimulatorProvider:
    """Implements ``Provider``."""

    name: ClassVar[str] = "simulator"

    def __init__(self) -> None:
        key = settings.SIMULATOR_API_KEY
        try:
            sign(settings.SIMULATOR_WEBHOOK_SECRET, "", 0, b"")
        except ValueError as error:
            raise ImproperlyConfigured(f"SIMULATOR_WEBHOOK_SECRET: {error}") from None
        self._client = bounded_client(settings.SIMULATOR_URL, {"Authorization": f"Bearer {key}"})

    def create_payment(self, *, intent_id: uuid.UUID, amount: Money) -> ProviderPayment:
        return self._create(payment_of, "payments", intent_id, amount)

    def confirm_payment(self, reference: str) -> ProviderPayment:
        return self._call(payment_of, "POST", f"/v1/payments/{_id(reference)}/confirm")

    def cancel_payment(self, reference: str) -> ProviderPayment:
        try:
            return self._call(payment_of, "POST", f"/v1/payments/{_id(reference)}/cancel")
        except ProviderRefused as refused:
            if refused.code != "invalid_state":
                raise
        return self.fetch_payment(reference)

    def refund(self, *, refund_id: uuid.UUID, payment: str, amount: Money) -> ProviderRefund:
        return self._create(refund_of, "refunds", refund_id, amount, payment=payment)

    def pay_out(self, *, payout_id: uuid.UUID, amount: Money, destination: str) -> ProviderPayout:
        return self._create(payout_of, "payouts", payout_id, amount, destination=destination)

    def fetch_payment(self, reference: str) -> ProviderPayment:
        return self._call(payment_of, "GET", f"/v1/payments/{_id(reference)}")

    def fetch_refund(self, reference: str) -> ProviderRefund:
        return self._call(refund_of, "GET", f"/v1/refunds/{_id(reference)}")

    def fetch_payout(self, reference: str) -> ProviderPayout:
        return self._call(payout_of, "GET", f"/v1/payouts/{_id(reference)}")

    def simulate(self, reference: str, outcome: str) -> ProviderPayment:
        """End a payment as its customer would at the checkout: ``succeeded`` or ``failed``.

        Raises ``ProviderRefused`` with ``invalid_state`` once it has ended.
        """
        path = f"/v1/payments/{_id(reference)}/simulate"
        return self._call(payment_of, "POST", path, {"outcome": outcome})

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        try:
            identity = verify([settings.SIMULATOR_WEBHOOK_SECRET], headers, body)
        except InvalidMessage as invalid:
            raise InvalidSignature(str(invalid)) from None
        try:
            event = event_of(json.loads(body))
        except UNREADABLE:
            raise UnreadableEvent("It is no event.") from None
        if event.event_id != identity:
            raise UnreadableEvent("Its id is not the one it was sent under.")
        return event

    def settlement_report(
        self, first: datetime.date, last: datetime.date
    ) -> Iterable[SettlementRow]:
        days = {"from": first.isoformat(), "to": last.isoformat()}
        body = self._ask("GET", "/v1/settlement.csv", params=days, seconds=REPORT_SECONDS)
        try:
            yield from read_report(body.decode().splitlines())
        except UNREADABLE as error:
            raise _unavailable("a report that nobody can read") from error

    def _create(
        self, read: Callable[[Any], T], path: str, own_id: uuid.UUID, amount: Money, **more: str
    ) -> T:
        fields = {
            "merchant_reference": str(own_id),
            "amount": smallest_units(amount),
            "currency": amount.currency,
            **more,
        }
        return self._call(read, "POST", f"/v1/{path}", fields, {"Idempotency-Key": str(own_id)})

    def _call(
        self,
        read: Callable[[Any], T],
        method: str,
        path: str,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        body = self._ask(method, path, json=fields, headers=headers)
        try:
            return read(json.loads(body))
        except UNREADABLE as error:
            raise _unavailable("an answer that nobody can read") from error

    def _ask(
        self, method: str, path: str, *, seconds: float | None = None, **request: Any
    ) -> bytes:
        """The body of a 2xx; else ``ProviderRefused``, or ``ProviderUnavailable`` where whether it acted
        is not known, or it says that we asked wrongly."""
        try:
            with (
                deadline(seconds or TOTAL_SECONDS),
                self._client.stream(method, path, **request) as response,
            ):
                body = read_bounded(response)
        except FAILURES as error:
            raise _unavailable(type(error).__name__) from error
        if response.is_success:
            return body
        if method != "GET" and response.status_code in REFUSALS:
            code, detail = _error_of(body)
            if code != KEY_REUSED:
                raise ProviderRefused(code, detail)
        raise _unavailable(f"status {response.status_code}")


def smallest_units(amount: Money) -> int:
    """5000 of 50.00 USD."""
    return int(amount.amount.scaleb(places_of(amount.currency)))


def money_of(units: object, currency: object) -> Money:
    """50.00 USD of 5000; raises ``ValueError`` for what is no amount."""
    if type(units) is not int or not isinstance(currency, str):
        raise ValueError("An amount is a whole number of smallest units, and a currency.")
    return Money(Decimal(units).scaleb(-places_of(currency)), currency)


def payment_of(told: Any) -> ProviderPayment:
    """A payment as the API and the events tell it; raises one of ``UNREADABLE``."""
    return ProviderPayment(
        reference=_text(told["id"]),
        intent_id=_own_id(told["merchant_reference"]),
        state=PaymentState(told["status"]),
        amount=money_of(told["amount"], told["currency"]),
        failure_code=_text(told["failure_code"]),
        client_secret=_text(told.get("client_secret", "")),
        checkout_url=_text(told.get("checkout_url", "")),
    )


def refund_of(told: Any) -> ProviderRefund:
    """A refund, likewise."""
    return ProviderRefund(
        reference=_text(told["id"]),
        refund_id=_own_id(told["merchant_reference"]),
        payment=_text(told["payment"]),
        state=RefundState(told["status"]),
        amount=money_of(told["amount"], told["currency"]),
        failure_code=_text(told["failure_code"]),
    )


def payout_of(told: Any) -> ProviderPayout:
    """A payout, likewise."""
    return ProviderPayout(
        reference=_text(told["id"]),
        payout_id=_own_id(told["merchant_reference"]),
        state=PayoutState(told["status"]),
        amount=money_of(told["amount"], told["currency"]),
        failure_code=_text(told["failure_code"]),
    )


# The types of events that tell what has become of something, and who reads it.
_READERS: dict[str, Callable[[Any], ProviderObject]] = {
    "payment.created": payment_of,
    **{f"payment.{state}": payment_of for state in PaymentState},
    **{f"refund.{state}": refund_of for state in RefundState},
    **{f"payout.{state}": payout_of for state in PayoutState},
}


def event_of(told: Any) -> ProviderEvent:
    """An event; of a type that nobody here knows, with nothing that happened."""
    event_type, created = _text(told["type"]), datetime.datetime.fromisoformat(told["created"])
    read = _READERS.get(event_type)
    if created.tzinfo is None or not told["id"] or not event_type:
        raise ValueError("An event has an id, a type and a time in UTC.")
    return ProviderEvent(
        event_id=_text(told["id"]),
        type=event_type,
        created_at=created.astimezone(datetime.UTC),
        happened=read(told["data"]) if read else None,
    )


def read_report(lines: Iterable[str]) -> Iterator[SettlementRow]:
    """The rows of a settlement report in CSV; raises one of ``UNREADABLE``."""
    for row in csv.DictReader(lines):
        currency = row["currency"]
        yield SettlementRow(
            kind=_text(row["kind"]),
            reference=_text(row["reference"]),
            own_id=_own_id(row["merchant_reference"]),
            amount=money_of(int(row["amount"]), currency),
            fee=money_of(int(row["fee"]), currency),
            settled_at=datetime.datetime.fromisoformat(row["settled_at"]),
        )


def _own_id(value: object) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(value))
    except ValueError:
        return None


def _text(value: object) -> str:
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise ValueError("Not a short printable text.")
    return value


def _id(reference: str) -> str:
    return urllib.parse.quote(reference, safe="")


def _error_of(body: bytes) -> tuple[str, str]:
    """The code and the sentence of a refusal."""
    try:
        error = json.loads(body)["error"]
        return _text(error["code"]), _text(error["message"])
    except UNREADABLE:
        return "refused", ""


def _unavailable(why: str) -> ProviderUnavailable:
    logger.warning("provider_unavailable", extra={"provider": "simulator", "why": why})
    return ProviderUnavailable()
