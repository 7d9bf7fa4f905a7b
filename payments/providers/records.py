"""What a provider told, as JSON, so that it can be kept until it is acted on.

That is ``ProviderEvent.happened``. The body beside it is kept as it was signed, with all that its
provider put in: Stripe's events of payments hold the ``client_secret``.
"""

import uuid
from dataclasses import fields
from decimal import Decimal
from typing import Any

from fintech_core.money import Money
from payments.providers.base import (
    PaymentState,
    PayoutState,
    ProviderObject,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
    RefundState,
)

_KINDS: dict[str, tuple[type[ProviderObject], type[PaymentState | RefundState | PayoutState]]] = {
    "payment": (ProviderPayment, PaymentState),
    "refund": (ProviderRefund, RefundState),
    "payout": (ProviderPayout, PayoutState),
}
# Nobody needs what lets a browser pay to act on an event.
_LEFT_OUT = {"client_secret", "checkout_url"}


def to_json(told: ProviderObject) -> dict[str, Any]:
    """Plain values that ``from_json`` reads, without what lets a browser pay."""
    [kind] = [kind for kind, (record, _) in _KINDS.items() if isinstance(told, record)]
    values: dict[str, Any] = {"kind": kind}
    for field in fields(told):
        if field.name in _LEFT_OUT:
            continue
        value = getattr(told, field.name)
        if isinstance(value, Money):
            value = {"amount": str(value), "currency": value.currency}
        elif value is not None:
            # PostgreSQL's JSON holds no NUL.
            value = str(value).replace("\0", "")
        values[field.name] = value
    return values


def from_json(values: dict[str, Any]) -> ProviderObject:
    """What ``to_json`` was given."""
    record, state = _KINDS[values["kind"]]
    told = {name: value for name, value in values.items() if name != "kind"}
    told["state"] = state(told["state"])
    told["amount"] = Money(Decimal(told["amount"]["amount"]), told["amount"]["currency"])
    for name in ("intent_id", "refund_id", "payout_id"):
        if told.get(name) is not None:
            told[name] = uuid.UUID(told[name])
    return record(**told)


def own_id(told: ProviderObject) -> uuid.UUID | None:
    """Our id of the object, where the provider remembers it."""
    if isinstance(told, ProviderPayment):
        return told.intent_id
    return told.refund_id if isinstance(told, ProviderRefund) else told.payout_id
