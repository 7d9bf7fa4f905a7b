"""Payments, refunds and payouts: their steps, and what each step tells and settles.

Every function runs inside one transaction of the store, and tells what happened with the object as it
was then.

A payment is ``requires_confirmation``, ``processing``, then ``succeeded``, ``failed`` or ``canceled``; a
refund ``pending``, then ``succeeded`` or ``failed``; a payout ``pending``, ``in_transit``, then ``paid``
or ``failed``.
"""

import datetime
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from simulator import events
from simulator.behaviour import Chosen

Row = sqlite3.Row
PREFIXES = {"payment": "pay", "refund": "re", "payout": "po"}
FIRST = {"payment": "requires_confirmation", "refund": "pending", "payout": "pending"}
ENDED = {"succeeded", "failed", "canceled", "paid"}
# By kind and step: from where it may be taken.
STEPS: dict[tuple[str, str], set[str]] = {
    ("payment", "processing"): {"requires_confirmation"},
    ("payment", "succeeded"): {"processing"},
    ("payment", "failed"): {"processing"},
    ("payment", "canceled"): {"requires_confirmation", "processing"},
    ("refund", "succeeded"): {"pending"},
    ("refund", "failed"): {"pending"},
    ("payout", "in_transit"): {"pending"},
    ("payout", "paid"): {"in_transit"},
    ("payout", "failed"): {"pending", "in_transit"},
}
SETTLED = {"succeeded", "paid"}
FALSE_WORDS = {"wrong_amount", "wrong_currency"}
# What is kept of a payment: 1.4 percent, rounded down, and 25 smallest units; never more than all of it.
FEE_PER_MILLE = 14
FEE_FIXED = 25


class Refused(Exception):
    """The request is understood and not done: an HTTP status, a stable code, a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks to be made; ``key`` makes it once."""

    kind: str
    key: str
    merchant_reference: str
    amount: int
    currency: str
    payment: str = ""
    destination: str = ""


def find(database: sqlite3.Connection, kind: str, identity: str) -> Row:
    """One object; raises ``Refused`` 404."""
    row: Row | None = database.execute(
        "SELECT * FROM objects WHERE id = ? AND kind = ?", (identity, kind)
    ).fetchone()
    if row is None:
        raise Refused(404, "not_found", f"There is no such {kind}.")
    return row


def find_by_checkout(database: sqlite3.Connection, checkout: str) -> Row:
    """The payment behind a checkout page; raises ``Refused`` 404."""
    row: Row | None = database.execute(
        "SELECT * FROM objects WHERE checkout = ?", (checkout,)
    ).fetchone()
    if row is None:
        raise Refused(404, "not_found", "There is no such checkout.")
    return row


def find_twin(database: sqlite3.Connection, wanted: Wanted) -> Row | None:
    """What was made with this key before; raises ``Refused`` 409 where that was something else."""
    row: Row | None = database.execute(
        "SELECT * FROM objects WHERE kind = ? AND key = ?", (wanted.kind, wanted.key)
    ).fetchone()
    if row is None:
        return None
    for name in ("merchant_reference", "amount", "currency", "payment", "destination"):
        if row[name] != getattr(wanted, name):
            raise Refused(409, "idempotency_key_reused", f"The key came with another {name}.")
    return row


def create(database: sqlite3.Connection, wanted: Wanted, chosen: Chosen, pace: float) -> Row:
    """Make an object, or return the one made with this key before."""
    twin = find_twin(database, wanted)
    if twin is not None:
        return twin
    if wanted.kind == "refund":
        _take_from_payment(database, wanted)
    now = time.time()
    moves_by_itself = wanted.kind != "payment" and "manual" not in chosen
    identity = f"{PREFIXES[wanted.kind]}_{secrets.token_hex(12)}"
    is_payment = wanted.kind == "payment"
    database.execute(
        "INSERT INTO objects (id, kind, key, merchant_reference, amount, currency, status, payment,"
        " destination, client_secret, checkout, behaviours, step_at, created, updated)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            identity,
            wanted.kind,
            wanted.key,
            wanted.merchant_reference,
            wanted.amount,
            wanted.currency,
            FIRST[wanted.kind],
            wanted.payment,
            wanted.destination,
            f"{identity}_secret_{secrets.token_urlsafe(24)}" if is_payment else None,
            secrets.token_urlsafe(32) if is_payment else None,
            " ".join(sorted(chosen.lasting)),
            now + pace if moves_by_itself else None,
            now,
            now,
        ),
    )
    row = find(database, wanted.kind, identity)
    if is_payment:
        events.record(database, "payment.created", describe(row), chosen_for(row))
    return row


def _take_from_payment(database: sqlite3.Connection, wanted: Wanted) -> None:
    payment = find(database, "payment", wanted.payment)
    if payment["status"] != "succeeded":
        raise Refused(402, "payment_not_refundable", "Only what was paid can be sent back.")
    if payment["currency"] != wanted.currency:
        raise Refused(402, "currency_mismatch", "The payment was in another currency.")
    if payment["refunded_amount"] + wanted.amount > payment["amount"]:
        raise Refused(402, "refund_exceeds_payment", "More than was paid cannot be sent back.")
    database.execute(
        "UPDATE objects SET refunded_amount = refunded_amount + ? WHERE id = ?",
        (wanted.amount, payment["id"]),
    )


def confirm(database: sqlite3.Connection, row: Row, pace: float) -> Row:
    """Let a payment happen; one that is under way or done stays as it is."""
    if row["status"] in {"processing", "succeeded"}:
        return row
    row = take(database, row, "processing")
    named = chosen_for(row) | events.control_names(database)
    if "succeed" in named:
        return finish(database, row, "succeeded")
    if "succeed_later" in named:
        database.execute(
            "UPDATE objects SET step_at = ? WHERE id = ?", (time.time() + pace, row["id"])
        )
    return row


def finish(database: sqlite3.Connection, row: Row, outcome: str) -> Row:
    """End an object as its customer, or its bank, would; raises ``Refused`` 409 once it has ended.

    Told to decline, it declines whatever the customer does.
    """
    if row["status"] in ENDED:
        raise Refused(409, "invalid_state", f"It is {row['status']} already.")
    named = chosen_for(row) | events.control_names(database)
    failure = ""
    if "insufficient_funds" in named:
        failure = "insufficient_funds"
    elif "decline" in named or outcome == "failed":
        failure = "account_closed" if row["kind"] == "payout" else "card_declined"
    outcome = "failed" if failure else outcome
    # By way of the step between, as it would go in life.
    between = {"payment": "processing", "payout": "in_transit"}.get(row["kind"])
    if between and row["status"] in STEPS[row["kind"], between] and outcome != between:
        row = take(database, row, between)
    return take(database, row, outcome, failure)


def advance(database: sqlite3.Connection, row: Row, pace: float) -> None:
    """Take the next of the steps that an object takes by itself."""
    if row["status"] in ENDED:
        return
    if row["kind"] == "payout" and row["status"] == "pending":
        take(database, row, "in_transit")
        database.execute(
            "UPDATE objects SET step_at = ? WHERE id = ?", (time.time() + pace, row["id"])
        )
    else:
        finish(database, row, "paid" if row["kind"] == "payout" else "succeeded")


def take(database: sqlite3.Connection, row: Row, status: str, failure: str = "") -> Row:
    """One step: the row, its event, and its line of the settlement report; ``Refused`` 409 where it
    is not allowed from here."""
    if row["status"] not in STEPS.get((row["kind"], status), set()):
        raise Refused(409, "invalid_state", f"It is {row['status']}.")
    # What the control falsifies stays false, however long the control says so.
    lasting = chosen_for(row) | (events.control_names(database) & FALSE_WORDS)
    database.execute(
        "UPDATE objects SET status = ?, failure_code = ?, behaviours = ?, updated = ?, step_at = NULL"
        " WHERE id = ?",
        (status, failure, " ".join(sorted(lasting)), time.time(), row["id"]),
    )
    row = find(database, row["kind"], row["id"])
    if status in SETTLED:
        _settle(database, row)
    if status == "failed" and row["kind"] == "refund":
        database.execute(
            "UPDATE objects SET refunded_amount = refunded_amount - ? WHERE id = ?",
            (row["amount"], row["payment"]),
        )
    events.record(database, f"{row['kind']}.{status}", describe(row), chosen_for(row))
    return row


def _settle(database: sqlite3.Connection, row: Row) -> None:
    comes_in = row["kind"] == "payment"
    fee = min(row["amount"], row["amount"] * FEE_PER_MILLE // 1000 + FEE_FIXED) if comes_in else 0
    database.execute(
        "INSERT INTO moves (kind, reference, merchant_reference, amount, fee, currency, settled_at,"
        " behaviours) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row["kind"],
            row["id"],
            row["merchant_reference"],
            row["amount"] if comes_in else -row["amount"],
            fee,
            row["currency"],
            row["updated"],
            row["behaviours"],
        ),
    )


def chosen_for(row: Row) -> frozenset[str]:
    """What was chosen for an object when it was made."""
    return frozenset(row["behaviours"].split())


def describe(row: Row) -> dict[str, Any]:
    """An object as the API and the events tell it; secrets are not in it."""
    amount, currency = row["amount"], row["currency"]
    if row["status"] in SETTLED:
        named = chosen_for(row)
        amount += "wrong_amount" in named
        if "wrong_currency" in named:
            currency = "EUR" if currency != "EUR" else "USD"
    told = {
        "id": row["id"],
        "object": row["kind"],
        "merchant_reference": row["merchant_reference"],
        "amount": amount,
        "currency": currency,
        "status": row["status"],
        "failure_code": row["failure_code"],
        "created": moment(row["created"]),
        "updated": moment(row["updated"]),
    }
    if row["kind"] == "payment":
        told["refunded_amount"] = row["refunded_amount"]
    if row["kind"] == "refund":
        told["payment"] = row["payment"]
    if row["kind"] == "payout":
        told["destination"] = row["destination"]
    return told


def moment(seconds: float) -> str:
    """A time as RFC 3339 in UTC."""
    told = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")
