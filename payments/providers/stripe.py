"""Stripe, by its own library (docs/providers.md).

Payments are PaymentIntents, which the payer's browser pays with the ``client_secret``; payouts go to a
bank account or card that Stripe knows by its id. Every object carries our id in its metadata, and our id
is the idempotency key of what makes it.
"""

import contextlib
import datetime
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import stripe
from django.conf import settings

from fintech_core.money import Money
from payments.providers.base import (
    InvalidSignature,
    PaymentState,
    ProviderEvent,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
    ProviderRefused,
    ProviderUnavailable,
    SettlementRow,
    UnreadableEvent,
)
from payments.providers.stripe_http import BoundedHTTPClient
from payments.providers.stripe_objects import (
    OWN_ID,
    Unreadable,
    read_id,
    read_object,
    read_payment,
    read_payout,
    read_refund,
    read_settlement,
    read_time,
    read_word,
    to_minor_units,
)

logger = logging.getLogger(__name__)

TOLERANCE_SECONDS = 300
# Stripe forgets idempotency keys when they are a day old.
_KEYS_LAST = datetime.timedelta(hours=20)

_EVENTS = {
    *("payment_intent.created", "payment_intent.processing", "payment_intent.requires_action"),
    *("payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled"),
    *("charge.refunded", "charge.refund.updated"),
    *("refund.created", "refund.updated", "refund.failed"),
    *("payout.created", "payout.updated", "payout.paid", "payout.failed", "payout.canceled"),
}


class StripeProvider:
    """A Stripe account; which one, and whether its money is real, is in the API key."""

    name: ClassVar[str] = "stripe"

    def __init__(self) -> None:
        key = settings.STRIPE_API_KEY
        self._is_live = "_live_" in key
        self._secrets: list[str] = settings.STRIPE_WEBHOOK_SECRETS
        # Whoever calls decides whether to try again, with the same key: the library does not.
        self._api = stripe.StripeClient(
            key,
            stripe_version=settings.STRIPE_API_VERSION,
            base_addresses={"api": settings.STRIPE_API_BASE},
            max_network_retries=0,
            http_client=BoundedHTTPClient(settings.STRIPE_API_BASE),
        ).v1

    def create_payment(self, *, intent_id: uuid.UUID, amount: Money) -> ProviderPayment:
        """Create the PaymentIntent; it waits for a payment method."""
        with _asking("create_payment"):
            made = self._api.payment_intents.create(
                {
                    "amount": to_minor_units(amount),
                    "currency": amount.currency.lower(),
                    "metadata": {OWN_ID: str(intent_id)},
                },
                {"idempotency_key": str(intent_id)},
            )
            return read_payment(made.to_dict())

    def confirm_payment(self, reference: str) -> ProviderPayment:
        """Charge the payment method that the browser chose, where it did not confirm by itself.

        A decline is the payment's failure. ``ProviderRefused`` where it cannot be confirmed as it is: no
        payment method is chosen yet; the payment goes on waiting for its payer.
        """
        try:
            with _asking("confirm_payment"):
                return read_payment(self._api.payment_intents.confirm(reference).to_dict())
        except ProviderRefused as refusal:
            # Declined, or confirmed or canceled before: the payment itself says which.
            told = self.fetch_payment(reference)
            if told.state is PaymentState.REQUIRES_CONFIRMATION:
                raise refusal from None
            return told

    def cancel_payment(self, reference: str) -> ProviderPayment:
        """Cancel the PaymentIntent, unless its money has moved or moves now."""
        try:
            with _asking("cancel_payment"):
                return read_payment(self._api.payment_intents.cancel(reference).to_dict())
        except ProviderRefused:
            return self.fetch_payment(reference)

    def refund(self, *, refund_id: uuid.UUID, payment: str, amount: Money) -> ProviderRefund:
        """Refund a part of the PaymentIntent; what was refunded under this id before is told as it is."""

        def look() -> dict[str, Any] | None:
            made = self._api.refunds.list({"payment_intent": payment, "limit": 100})
            return _made_before(made.auto_paging_iter(), refund_id)

        def create() -> dict[str, Any]:
            refund = self._api.refunds.create(
                {
                    "payment_intent": payment,
                    "amount": to_minor_units(amount),
                    "metadata": {OWN_ID: str(refund_id)},
                },
                {"idempotency_key": str(refund_id)},
            )
            return refund.to_dict()

        with _asking("refund"):
            return read_refund(_made_once(refund_id, look, create))

    def pay_out(self, *, payout_id: uuid.UUID, amount: Money, destination: str) -> ProviderPayout:
        """Send money from the Stripe balance to an external account (``ba_…``, ``card_…``); what was sent
        under this id before is told as it is."""

        def look() -> dict[str, Any] | None:
            since = int(_made_at(payout_id).timestamp()) - 86_400
            made = self._api.payouts.list({"created": {"gte": since}, "limit": 100})
            return _made_before(made.auto_paging_iter(), payout_id)

        def create() -> dict[str, Any]:
            payout = self._api.payouts.create(
                {
                    "amount": to_minor_units(amount, payout=True),
                    "currency": amount.currency.lower(),
                    "destination": destination,
                    "metadata": {OWN_ID: str(payout_id)},
                },
                {"idempotency_key": str(payout_id)},
            )
            return payout.to_dict()

        with _asking("pay_out"):
            return read_payout(_made_once(payout_id, look, create))

    def fetch_payment(self, reference: str) -> ProviderPayment:
        with _asking("fetch_payment", refusable=False):
            return read_payment(self._api.payment_intents.retrieve(reference).to_dict())

    def fetch_refund(self, reference: str) -> ProviderRefund:
        with _asking("fetch_refund", refusable=False):
            return read_refund(self._api.refunds.retrieve(reference).to_dict())

    def fetch_payout(self, reference: str) -> ProviderPayout:
        with _asking("fetch_payout", refusable=False):
            return read_payout(self._api.payouts.retrieve(reference).to_dict())

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        """Verify by any of the secrets, at most five minutes old or ahead, then read.

        What is signed and yet cannot be read, or is of the other mode than the API key (test, live), is
        unreadable, and refused: Stripe keeps it, shows it and sends it again, whereas an answer of 200
        would lose it.
        """
        header = headers.get("stripe-signature", "")
        if not any(_is_signed(body, header, secret) for secret in self._secrets):
            raise InvalidSignature
        try:
            return self._read_event(json.loads(body))
        except Exception as error:  # Whatever stands in it.
            raise UnreadableEvent(_reason(error)) from None

    def _read_event(self, told: Mapping[str, Any]) -> ProviderEvent:
        if told.get("object") != "event" or not isinstance(told.get("type"), str):
            raise Unreadable("not an event")
        if told.get("livemode") is not self._is_live:
            raise Unreadable("an event of the other mode")
        happened = None
        if told["type"] in _EVENTS:
            happened = read_object(told["data"]["object"])
        return ProviderEvent(
            event_id=read_id(told),
            type=told["type"],
            created_at=read_time(told.get("created")),
            happened=happened,
        )

    def settlement_report(
        self, first: datetime.date, last: datetime.date
    ) -> Iterable[SettlementRow]:
        """The balance transactions made on these days, a page of 100 in memory; newest first."""
        with _asking("settlement_report", refusable=False):
            found = self._api.balance_transactions.list(
                {
                    "created": {
                        "gte": _midnight(first),
                        "lt": _midnight(last + datetime.timedelta(days=1)),
                    },
                    "limit": 100,
                    "expand": ["data.source"],
                }
            )
            for transaction in found.auto_paging_iter():
                yield read_settlement(transaction.to_dict())


@contextlib.contextmanager
def _asking(call: str, *, refusable: bool = True) -> Iterator[None]:
    """Tell Stripe's errors as the interface has them; their texts, which show a part of the key, nowhere.

    Whatever is not a clear refusal leaves open whether Stripe acted. Reading is never refused: an object
    that Stripe does not know is there with another key, or it was never ours.
    """
    try:
        yield
    except stripe.StripeError as error:
        refused = (stripe.CardError, stripe.InvalidRequestError)
        code = _code_of(error)
        facts = {"call": call, "status": error.http_status, "error_code": code}
        facts["stripe_request"] = error.request_id
        if isinstance(error, refused) and refusable:
            logger.info("stripe_refused", extra=facts)
            raise ProviderRefused(code) from None
        if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
            logger.error("stripe_key_refused", extra=facts)  # noqa: TRY400
        elif isinstance(error, stripe.IdempotencyError):
            # A call with this key was made, with other fields: something happened, we cannot say what.
            logger.error("stripe_idempotency_key_reused", extra=facts)  # noqa: TRY400
        else:
            logger.warning("stripe_unavailable", extra=facts)
        raise ProviderUnavailable from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        logger.error("stripe_answer_unreadable", extra={"call": call, "reason": _reason(error)})  # noqa: TRY400
        raise ProviderUnavailable from None


def _code_of(error: stripe.StripeError) -> str:
    """The stable word for it: of a decline, the bank's."""
    decline = getattr(error.error, "decline_code", None)
    return read_word(decline or error.code, "invalid_request")


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    """Whether the secret's holder signed the body, at most five minutes ago or ahead.

    The library looks at the past only, and trips over what is not text.
    """
    times = [item[2:] for item in header.split(",") if item.startswith("t=")]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12):
        return False
    if int(times[0]) > time.time() + TOLERANCE_SECONDS:
        return False
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        return False
    return True


def _made_once(
    own_id: uuid.UUID,
    look: Callable[[], dict[str, Any] | None],
    create: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """What was made under this id before, where the key alone cannot tell; or what is made now.

    A key that was used with other fields was used: where nothing is found it is not known what happened.
    """
    if _may_be_forgotten(own_id) and (found := look()):
        return found
    try:
        return create()
    except stripe.IdempotencyError:
        if found := look():
            return found
        raise


def _may_be_forgotten(own_id: uuid.UUID) -> bool:
    """Whether a call with this key may have been made so long ago that Stripe would make it again."""
    return datetime.datetime.now(datetime.UTC) - _made_at(own_id) > _KEYS_LAST


def _made_at(own_id: uuid.UUID) -> datetime.datetime:
    """When an id was made: a UUIDv7 says so itself (RFC 9562, 5.7)."""
    return datetime.datetime.fromtimestamp((own_id.int >> 80) / 1000, datetime.UTC)


def _made_before(listed: Iterable[Any], own_id: uuid.UUID) -> dict[str, Any] | None:
    objects: Iterator[dict[str, Any]] = (found.to_dict() for found in listed)
    wanted = str(own_id)
    return next((o for o in objects if (o.get("metadata") or {}).get(OWN_ID) == wanted), None)


def _midnight(day: datetime.date) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp())


def _reason(error: Exception) -> str:
    """Why something could not be read, without what stands in it."""
    return str(error) if isinstance(error, Unreadable) else type(error).__name__
