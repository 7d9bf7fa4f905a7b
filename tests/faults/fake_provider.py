"""A provider that keeps what it knows in a folder, so that workers in other processes ask the same one.

It signs by Standard Webhooks. ``down`` makes it answer nobody, as an outage does.
"""

import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar

from fintech_core import signing
from fintech_core.money import Money
from payments.providers import base
from payments.providers.records import from_json, to_json

SECRET = signing.PREFIX + "Z" * 43 + "="


class FakeProvider:
    """Knows what was created with it and what a test says has become of it (``tell``)."""

    name: ClassVar[str] = "fake"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def outage(self) -> Path:
        """While this file is there nobody is answered."""
        return self._folder / "down"

    def tell(self, told: base.ProviderObject) -> base.ProviderObject:
        """Have an object be so from now on."""
        written = self._folder / f"{told.reference}.new"
        written.write_text(json.dumps(to_json(told)))
        written.replace(self._folder / f"{told.reference}.json")
        return told

    def _find(self, reference: str) -> Any:
        if self.outage.exists():
            raise base.ProviderUnavailable
        try:
            return from_json(json.loads((self._folder / f"{reference}.json").read_text()))
        except FileNotFoundError:
            raise base.ProviderRefused("not_found") from None

    def create_payment(self, *, intent_id: uuid.UUID, amount: Money) -> base.ProviderPayment:
        if self.outage.exists():
            raise base.ProviderUnavailable
        made = base.ProviderPayment(
            f"pay_{intent_id.hex}", intent_id, base.PaymentState.REQUIRES_CONFIRMATION, amount
        )
        self.tell(made)
        return made

    def confirm_payment(self, reference: str) -> base.ProviderPayment:
        known: base.ProviderPayment = self._find(reference)
        if known.state is base.PaymentState.REQUIRES_CONFIRMATION:
            known = replace(known, state=base.PaymentState.PROCESSING)
            self.tell(known)
        return known

    def cancel_payment(self, reference: str) -> base.ProviderPayment:
        known: base.ProviderPayment = replace(
            self._find(reference), state=base.PaymentState.CANCELED
        )
        self.tell(known)
        return known

    def refund(self, *, refund_id: uuid.UUID, payment: str, amount: Money) -> base.ProviderRefund:
        made = base.ProviderRefund(
            f"ref_{refund_id.hex}", refund_id, payment, base.RefundState.PENDING, amount
        )
        self.tell(made)
        return made

    def pay_out(
        self, *, payout_id: uuid.UUID, amount: Money, destination: str
    ) -> base.ProviderPayout:
        made = base.ProviderPayout(
            f"out_{payout_id.hex}", payout_id, base.PayoutState.IN_TRANSIT, amount
        )
        self.tell(made)
        return made

    def fetch_payment(self, reference: str) -> base.ProviderPayment:
        found: base.ProviderPayment = self._find(reference)
        return found

    def fetch_refund(self, reference: str) -> base.ProviderRefund:
        found: base.ProviderRefund = self._find(reference)
        return found

    def fetch_payout(self, reference: str) -> base.ProviderPayout:
        found: base.ProviderPayout = self._find(reference)
        return found

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> base.ProviderEvent:
        try:
            event_id = signing.verify([SECRET], headers, body)
        except signing.InvalidMessage as error:
            raise base.InvalidSignature from error
        try:
            told = json.loads(body)
            return base.ProviderEvent(
                event_id,
                told["type"],
                datetime.fromisoformat(told["created_at"]),
                from_json(told["object"]) if told["object"] else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise base.UnreadableEvent("no event") from error

    def settlement_report(self, first: date, last: date) -> Iterable[base.SettlementRow]:
        return ()


class Delivery:
    """One delivery of an event: what is sent, and how it is signed."""

    def __init__(
        self,
        happened: base.ProviderObject | None,
        *,
        event_id: str = "",
        event_type: str = "",
        sent_at: float | None = None,
        secret: str = SECRET,
    ) -> None:
        self.event_id = event_id or f"evt_{uuid.uuid4().hex}"
        told = {
            "type": event_type or (f"object.{happened.state}" if happened else "account.updated"),
            "created_at": datetime.now(UTC).isoformat(),
            "object": to_json(happened) if happened else None,
        }
        self.body = json.dumps(told).encode()
        self._secret = secret
        self.sign(sent_at)

    def sign(self, sent_at: float | None = None) -> "Delivery":
        """Sign it as it is now, at another time."""
        at = int(time.time() if sent_at is None else sent_at)
        self.headers = {
            "webhook-id": self.event_id,
            "webhook-timestamp": str(at),
            "webhook-signature": signing.sign(self._secret, self.event_id, at, self.body),
        }
        return self


def from_environment() -> FakeProvider:
    """The one whose folder the process was told."""
    return FakeProvider(Path(os.environ["FAKE_PROVIDER"]))
