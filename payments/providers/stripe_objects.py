"""Stripe's objects and amounts, in our words; nothing here talks to anybody.

The readers raise ``Unreadable`` where an object is not as Stripe's documentation has it: a state that is
not known here is never guessed at.
"""

import datetime
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

from fintech_core.money import Money
from payments.providers.base import (
    PaymentState,
    PayoutState,
    ProviderObject,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
    ProviderRefused,
    RefundState,
    SettlementRow,
)

StripeObject = Mapping[str, Any]
S = TypeVar("S")

# Under this name Stripe keeps our id with each object.
OWN_ID = "fintech_core_id"

# Minor units (https://docs.stripe.com/currencies). They are Stripe's, not ISO 4217's: MGA has none here,
# and ISK and UGX still have two, which are always 00.
_PLACES = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG"), 0),
    **dict.fromkeys(("RWF", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
}
# Stripe has none of these, so how it would count them is not known.
_NOT_OFFERED = {"CLF", "IQD", "LYD", "UYI", "UYW"}
# Paid out in whole units only, though charged with two places.
_WHOLE_IN_PAYOUTS = {"HUF", "TWD"}

_ID = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)
_WORD = re.compile(r"[a-z0-9_]{1,60}", re.ASCII)

_PAYMENT_STATES = {
    "requires_payment_method": PaymentState.REQUIRES_CONFIRMATION,
    "requires_confirmation": PaymentState.REQUIRES_CONFIRMATION,
    # Confirmed, and waiting: for the payer's bank, or for a capture that was asked for by hand.
    "requires_action": PaymentState.PROCESSING,
    "requires_capture": PaymentState.PROCESSING,
    "processing": PaymentState.PROCESSING,
    "succeeded": PaymentState.SUCCEEDED,
    "canceled": PaymentState.CANCELED,
}
_REFUND_STATES = {
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
# Balance transactions that move a payment's, a refund's or a payout's money, there or back.
_MOVES = {
    **dict.fromkeys(("charge", "payment"), "payment"),
    **dict.fromkeys(
        ("refund", "payment_refund", "refund_failure", "payment_failure_refund"), "refund"
    ),
    **dict.fromkeys(("payout", "payout_failure", "payout_cancel"), "payout"),
}


class Unreadable(ValueError):
    """An object is not what Stripe documents."""


def to_minor_units(money: Money, *, payout: bool = False) -> int:
    """The amount as Stripe counts it. ``ProviderRefused`` where Stripe could not say it exactly."""
    places = _PLACES.get(money.currency, 2)
    minor = money.amount.scaleb(places)
    # The last digit of a three-decimal amount has to be 0.
    step = 10 if places == 3 else 1
    if payout and money.currency in _WHOLE_IN_PAYOUTS:
        step = 100
    if money.currency in _NOT_OFFERED:
        raise ProviderRefused("currency_not_supported")
    if minor % step:
        raise ProviderRefused("amount_not_representable", f"Stripe cannot move {money} exactly.")
    return int(minor)


def from_minor_units(minor: object, currency: object) -> Money:
    """Stripe's count as money; ``Unreadable`` where it is none of ours."""
    if type(minor) is not int or abs(minor) >= 10**15 or not isinstance(currency, str):
        raise Unreadable("not an amount")
    code = currency.upper()
    return Money(Decimal(minor).scaleb(-_PLACES.get(code, 2)), code)


def read_object(found: StripeObject) -> ProviderObject | None:
    """What an event is about; None for what does not concern us.

    A payment or payout without an id of ours was made by somebody else with the same account. A refund
    may have been made by hand, of a payment of ours.
    """
    match found.get("object"):
        case "payment_intent":
            return read_payment(found) if _own_id(found) else None
        case "refund":
            return read_refund(found) if found.get("payment_intent") else None
        case "payout":
            return read_payout(found) if _own_id(found) else None
        case "charge":
            return _newest_refund(found)
    return None


def read_payment(found: StripeObject) -> ProviderPayment:
    """A PaymentIntent.

    After a failed attempt Stripe waits for another payment method: that is a failure here, with the code
    of the attempt. It is not Stripe's last word: the payer may try again, and succeed.
    """
    state = _state(_PAYMENT_STATES, found)
    error = found.get("last_payment_error") or {}
    code = ""
    if found["status"] == "requires_payment_method" and error:
        state = PaymentState.FAILED
        code = read_word(error.get("decline_code") or error.get("code"), "payment_failed")
    minor = found.get("amount")
    if state is PaymentState.SUCCEEDED:
        minor = found.get("amount_received", minor)
    return ProviderPayment(
        reference=read_id(found),
        intent_id=_own_id(found),
        state=state,
        amount=from_minor_units(minor, found.get("currency")),
        failure_code=code,
        client_secret=str(found.get("client_secret") or ""),
    )


def read_refund(found: StripeObject) -> ProviderRefund:
    """A Refund; a canceled one has failed: the money stays here."""
    state = _state(_REFUND_STATES, found)
    code = ""
    if state is RefundState.FAILED:
        code = read_word(found.get("failure_reason"), found["status"])
    return ProviderRefund(
        reference=read_id(found),
        refund_id=_own_id(found),
        payment=_id_of(found.get("payment_intent")),
        state=state,
        amount=from_minor_units(found.get("amount"), found.get("currency")),
        failure_code=code,
    )


def read_payout(found: StripeObject) -> ProviderPayout:
    """A Payout."""
    state = _state({state.value: state for state in PayoutState}, found)
    code = ""
    if state is PayoutState.FAILED:
        code = read_word(found.get("failure_code"), "payout_failed")
    return ProviderPayout(
        reference=read_id(found),
        payout_id=_own_id(found),
        state=state,
        amount=from_minor_units(found.get("amount"), found.get("currency")),
        failure_code=code,
    )


def read_settlement(found: StripeObject) -> SettlementRow:
    """A BalanceTransaction whose ``source`` is expanded.

    What is neither payment, refund nor payout (a dispute, a fee of its own) is ``other``, under the
    transaction's own id.
    """
    kind = _MOVES.get(str(found.get("type")), "other")
    source = found.get("source")
    reference, own_id = read_id(found), None
    if kind != "other" and source:
        reference = _id_of(source)
        if isinstance(source, Mapping):
            own_id = _own_id(source)
            if kind == "payment" and source.get("payment_intent"):
                reference = _id_of(source["payment_intent"])
    return SettlementRow(
        kind=kind,
        reference=reference,
        own_id=own_id,
        amount=from_minor_units(found.get("amount"), found.get("currency")),
        fee=from_minor_units(found.get("fee"), found.get("currency")),
        settled_at=read_time(found.get("created")),
    )


def read_time(seconds: object) -> datetime.datetime:
    """Seconds since 1970 as a time in UTC."""
    if type(seconds) is not int or not 0 <= seconds < 2**33:
        raise Unreadable("not a time")
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def read_word(told: object, otherwise: str) -> str:
    """A code of Stripe's, where it is one."""
    return told if isinstance(told, str) and _WORD.fullmatch(told) else otherwise


def read_id(found: StripeObject) -> str:
    return _id_of(found.get("id"))


def _newest_refund(charge: StripeObject) -> ProviderRefund | None:
    """Of a charge that was refunded: newer versions of the API leave the refunds out of it, and tell them
    in events of their own."""
    refunds = (charge.get("refunds") or {}).get("data") or []
    if not refunds or not charge.get("payment_intent"):
        return None
    newest = {**refunds[0]}
    newest.setdefault("payment_intent", charge["payment_intent"])
    return read_refund(newest)


def _id_of(found: object) -> str:
    """An id, or that of an expanded object."""
    if isinstance(found, Mapping):
        found = found.get("id")
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise Unreadable("not an id")
    return found


def _own_id(found: StripeObject) -> uuid.UUID | None:
    told = (found.get("metadata") or {}).get(OWN_ID)
    try:
        return uuid.UUID(told) if isinstance(told, str) else None
    except ValueError:
        return None


def _state(states: Mapping[str, S], found: StripeObject) -> S:
    status = found.get("status")
    if not isinstance(status, str) or status not in states:
        raise Unreadable("not a known status")
    return states[status]
