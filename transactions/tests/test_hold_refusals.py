"""What PostgreSQL refuses about holds in raw SQL: to the owner for the fact's sake, in any mode."""

import datetime
import json
import uuid
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg.types.json import Jsonb

from fintech_core.sqlstates import constraint_of, sqlstate_of
from transactions import services
from transactions.models import Transaction
from transactions.tests.factories import POST_LEDGER, asked, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import ask, make_hold, make_overdue_hold
from users.models import User

pytestmark = pytest.mark.usefixtures("committed")

Owner = psycopg.Connection[Any]
MODES = pytest.mark.parametrize("mode", ["origin", "replica"])


def held() -> tuple[User, User, uuid.UUID]:
    """A hold of 60.00 out of 100.00."""
    payer, payee = make_payer("100.00"), make_payee()
    return payer, payee, make_hold(payer, payee, "60.00")


def require_refused(
    owner: Owner, mode: str, facts: str | set[str], query: str, values: dict[str, Any]
) -> None:
    """The statement fails by the named fact, in this replication role."""
    owner.execute(f"SET session_replication_role = {mode}")
    with pytest.raises(psycopg.Error) as refusal, owner.transaction():
        owner.execute(query, values)
    wanted = {facts} if isinstance(facts, str) else facts
    assert refusal.value.diag.constraint_name in wanted, refusal.value


@MODES
@pytest.mark.parametrize(
    ("fact", "assignment"),
    [
        ("held_follows_the_holds", "held = 0"),
        ("held_follows_the_holds", "held = held - 0.01"),
        ("held_follows_the_holds", "held = held + 1"),
        ("available_is_never_negative", "held = 100.01"),
    ],
)
def test_what_is_held_is_never_assigned(
    owner: Owner, mode: str, fact: str, assignment: str
) -> None:
    payer, _, _ = held()
    query = f"UPDATE wallet_wallet SET {assignment} WHERE id = %(id)s"
    require_refused(owner, mode, fact, query, {"id": wallet_of(payer).pk})


@MODES
@pytest.mark.parametrize(
    ("fact", "assignment"),
    [
        ("captured_is_what_the_captures_posted", "captured_amount = 10.00"),
        ("captured_is_what_the_captures_posted", "captured_amount = 60.00"),
        ("no_more_is_captured_than_is_held", "captured_amount = 60.01"),
        ("no_more_is_captured_than_is_held", "captured_fee = 0.01"),
        ("hold_amounts_are_exact", "captured_amount = 0.001"),
        ("hold_tells_its_transaction", "amount = 10.00"),
        ("hold_ends_once", "expires_at = expires_at + interval '1 hour'"),
        ("hold_ends_once", "created_at = created_at - interval '1 hour'"),
        ("hold_is_open_or_closed_at_a_time", "status = 'captured'"),
        ("hold_is_open_or_closed_at_a_time", "closed_at = now()"),
        ("hold_ends_by_a_transaction", "status = 'voided', closed_at = now()"),
        ("hold_is_captured_in_time", "status = 'expired', closed_at = now()"),
        ("held_follows_the_holds", "status = 'captured', closed_at = now()"),
    ],
)
def test_a_hold_is_not_changed_by_hand(owner: Owner, mode: str, fact: str, assignment: str) -> None:
    _, _, hold_id = held()
    query = f"UPDATE wallet_hold SET {assignment} WHERE id = %(id)s"
    require_refused(owner, mode, fact, query, {"id": hold_id})


@MODES
@pytest.mark.parametrize("end", ["capture", "void"])
@pytest.mark.parametrize(
    "assignment",
    ["status = 'open', closed_at = NULL", "closed_at = now()", "status = 'voided'"],
)
def test_a_hold_that_ended_never_changes(
    owner: Owner, mode: str, end: str, assignment: str
) -> None:
    _, payee, hold_id = held()
    act = services.capture_hold if end == "capture" else services.void_hold
    act(hold_id=hold_id, request=ask(payee))
    query = f"UPDATE wallet_hold SET {assignment} WHERE id = %(id)s"
    require_refused(owner, mode, "hold_ends_once", query, {"id": hold_id})


@MODES
def test_what_has_expired_is_not_captured(owner: Owner, mode: str) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    hold_id = make_overdue_hold(payer, payee, "60.00")
    query = "UPDATE wallet_hold SET captured_amount = 1.00 WHERE id = %(id)s"
    require_refused(owner, mode, "hold_is_captured_in_time", query, {"id": hold_id})


@MODES
@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM wallet_hold WHERE id = %(id)s", "TRUNCATE wallet_hold CASCADE"]
    + ["DELETE FROM wallet_hold"],
)
def test_holds_are_never_removed(owner: Owner, mode: str, statement: str) -> None:
    _, _, hold_id = held()
    values = {"id": hold_id} if "%(id)s" in statement else {}
    require_refused(owner, mode, "holds_are_kept", statement, values)


COPY = (
    "INSERT INTO wallet_hold SELECT (jsonb_populate_record(h, %(changes)s)).*"
    " FROM wallet_hold h WHERE id = %(id)s"
)


@MODES
def test_an_open_hold_belongs_to_a_pending_transaction(owner: Owner, mode: str) -> None:
    payer, payee, hold_id = held()
    record = services.capture_hold(hold_id=make_hold(payer, payee, "5.00"), request=ask(payee)).act
    for other in (str(uuid.uuid4()), str(record.id)):
        values = {"id": hold_id, "changes": Jsonb({"id": other})}
        require_refused(owner, mode, "hold_tells_its_transaction", COPY, values)


def pending(like: uuid.UUID, **columns: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A transaction that opens a hold of 10.00, and its hold, as ``post_ledger()`` takes them."""
    row = asked(Transaction.objects.get(pk=like), status="pending")
    expires_at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    hold = {
        "id": row["id"],
        "wallet_id": row["from_wallet_id"],
        "status": "open",
        "amount": "10.00",
        "fee": "0.00",
        "currency": "USD",
        "captured_amount": "0.00",
        "captured_fee": "0.00",
        "expires_at": expires_at.isoformat(),
        "created_at": row["created_at"],
        **columns,
    }
    return row, hold


@pytest.mark.parametrize(
    ("fact", "columns"),
    [
        ("held_follows_the_holds", {}),
        ("hold_begins_open", {"status": "captured", "closed_at": "2026-01-01T00:00:00Z"}),
        ("hold_begins_open", {"captured_amount": "1.00"}),
        ("hold_tells_its_transaction", {"amount": "5.00"}),
        ("hold_tells_its_transaction", {"fee": "1.00"}),
        ("hold_tells_its_transaction", {"currency": "EUR"}),
        ("no_more_is_captured_than_is_held", {"captured_amount": "10.01"}),
        ("hold_amounts_are_exact", {"amount": "10.000"}),
    ],
)
def test_a_bent_hold_is_refused_to_the_one_who_may_post(fact: str, columns: dict[str, str]) -> None:
    _, _, hold_id = held()
    row, hold = pending(hold_id, **columns)
    require_post_refused(fact, [row], [hold])


def require_post_refused(fact: str, rows: list[Any], holds: list[Any]) -> None:
    arguments = [json.dumps(rows), "[]", "[]", json.dumps(holds)]
    with (
        pytest.raises(DatabaseError) as refusal,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(POST_LEDGER, arguments)
    assert constraint_of(refusal.value) == fact


def test_a_pending_transaction_has_its_hold() -> None:
    _, _, hold_id = held()
    row, _ = pending(hold_id)
    require_post_refused("pending_transaction_has_its_hold", [row], [])


@pytest.mark.parametrize(
    "columns",
    [{"status": "voided"}, {"status": "expired"}, {"status": "voided", "kind": "deposit"}],
    ids=repr,
)
def test_what_ends_a_hold_ends_it(columns: dict[str, str]) -> None:
    _, _, hold_id = held()
    like = Transaction.objects.get(pk=hold_id)
    row = asked(like, parent_id=str(hold_id), **columns)
    require_post_refused("what_follows_a_hold_fits_it", [row], [])


def test_no_more_is_reversed_than_was_posted() -> None:
    """By the one who may post, with entries that are sound: a reversal of more than was captured."""
    from transactions.tests.factories import RawPosting

    payer, payee, hold_id = held()
    services.capture_hold(hold_id=hold_id, request=ask(payee), amount="20.00")
    source, target = wallet_of(payee).pk, wallet_of(payer).pk
    for amount, times in (("20.01", 1), ("10.01", 2)):
        bent = RawPosting()
        for _ in range(times):
            row = asked(
                Transaction.objects.get(pk=hold_id),
                kind="reversal",
                amount=amount,
                parent_id=str(hold_id),
                from_wallet_id=str(source),
                to_wallet_id=str(target),
            )
            bent.add(row, (source, f"-{amount}"), (target, amount))
        with (
            pytest.raises(DatabaseError) as refusal,
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(POST_LEDGER, bent.arguments)
        facts = {"no_more_is_reversed_than_was_posted", "available_is_never_negative"}
        assert constraint_of(refusal.value) in facts


def test_the_application_has_no_right_to_write_holds() -> None:
    held()
    for statement in (
        "UPDATE wallet_hold SET captured_amount = 0",
        "INSERT INTO wallet_hold SELECT * FROM wallet_hold",
        "DELETE FROM wallet_hold",
        "TRUNCATE wallet_hold",
        "ALTER TABLE wallet_hold DISABLE TRIGGER ALL",
    ):
        with (
            pytest.raises(DatabaseError) as refusal,
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
        assert sqlstate_of(refusal.value) == "42501", statement
