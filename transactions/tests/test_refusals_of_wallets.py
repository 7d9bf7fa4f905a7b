"""What PostgreSQL refuses in raw SQL of further wallets, overdrafts, rates and quotes."""

import uuid
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg.types.json import Jsonb

from fintech_core.sqlstates import constraint_of, sqlstate_of
from transactions import services
from transactions.services import quote_conversion
from transactions.tests.exchange_factories import convert, fresh, open_pot, set_rate
from transactions.tests.factories import (
    POST_LEDGER,
    RawPosting,
    asked,
    instruct,
    make_payee,
    make_payer,
    posted,
    wallet_of,
)
from transactions.tests.test_refusals import require_refused
from wallet.models import WalletKind
from wallet.services import open_platform_wallet, set_overdraft

pytestmark = pytest.mark.usefixtures("committed")

Owner = psycopg.Connection[Any]

COPY = (
    "INSERT INTO wallet_wallet SELECT (jsonb_populate_record(w, %(changes)s)).*"
    " FROM wallet_wallet w WHERE id = %(id)s"
)
EMPTY = {
    "user_id": None,
    "balance": 0,
    "held": 0,
    "last_sequence": 0,
    "head_hash": "",
    "last_entry_at": None,
    "spent_in_day": 0,
    "spent_in_month": 0,
    "overdraft_limit": None,
}


def test_an_overdraft_ends_where_its_limit_does() -> None:
    row = posted()
    set_overdraft(wallet_id=row.from_wallet_id, limit="5.00", acting_user=make_payee())

    def post(amount: str) -> None:
        legs = (row.from_wallet_id, f"-{amount}"), (row.to_wallet_id, amount)
        bent = RawPosting().add(asked(row, amount=amount), *legs)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(POST_LEDGER, bent.arguments)

    with pytest.raises(DatabaseError) as refusal:
        post("95.01")
    assert constraint_of(refusal.value) == "available_is_never_negative"
    post("95.00")
    assert fresh(row.from_wallet).balance == -5


@pytest.mark.parametrize(
    ("fact", "limit"),
    [
        ("available_is_never_negative", "2.99"),
        ("available_is_never_negative", None),
        ("wallet_amounts_are_exact", "10.001"),
        ("available_is_never_negative", "NaN"),
        ("wallet_amounts_are_exact", "1e15"),
    ],
)
def test_an_overdraft_limit_covers_what_is_used(owner: Owner, fact: str, limit: str | None) -> None:
    user = make_payee()
    wallet = wallet_of(user)
    set_overdraft(wallet_id=wallet.pk, limit="3.00", acting_user=user)
    services.transfer(instruct(user, make_payee(), "3.00"))
    require_refused(
        owner,
        fact,
        "UPDATE wallet_wallet SET overdraft_limit = %(limit)s::numeric WHERE id = %(id)s",
        {"limit": limit, "id": wallet.pk},
    )


def test_a_limit_is_not_negative_and_a_platform_wallet_has_none(owner: Owner) -> None:
    full = wallet_of(make_payer("5.00"))
    require_refused(
        owner,
        "overdraft_limit_is_a_users_and_not_negative",
        "UPDATE wallet_wallet SET overdraft_limit = -1 WHERE id = %(id)s",
        {"id": full.pk},
    )
    cash = open_platform_wallet(purpose="cash:test", kind=WalletKind.CASH, currency="USD")
    require_refused(
        owner,
        "overdraft_limit_is_a_users_and_not_negative",
        "UPDATE wallet_wallet SET overdraft_limit = 1 WHERE id = %(id)s",
        {"id": cash.pk},
    )


def test_limits_are_counted_at_the_owners_first_wallet_of_the_currency(owner: Owner) -> None:
    user = make_payer("1.00")
    first, pot, euros = wallet_of(user), open_pot(user), open_pot(user, "EUR")
    others = wallet_of(make_payee())
    for limits_wallet in (others, euros, pot):
        changes = {**EMPTY, "id": str(uuid.uuid4()), "limits_wallet_id": str(limits_wallet.pk)}
        values = {"changes": Jsonb(changes), "id": first.pk}
        require_refused(owner, "limits_are_counted_at_the_first_wallet", COPY, values)
    changes = {**EMPTY, "id": str(uuid.uuid4()), "limits_wallet_id": None}
    values = {"changes": Jsonb(changes), "id": first.pk}
    require_refused(owner, "limits_are_counted_once_per_owner_and_currency", COPY, values)
    owner.execute(
        COPY,
        {
            "changes": Jsonb({**changes, "limits_wallet_id": str(first.pk)}),
            "id": first.pk,
        },
    )


def test_a_pot_keeps_the_wallet_that_counts_its_limits(owner: Owner) -> None:
    user = make_payee()
    pot = open_pot(user)
    for assignment in ("limits_wallet_id = NULL", "owner_id = NULL", "user_id = owner_id"):
        with pytest.raises(psycopg.Error), owner.transaction():
            owner.execute(f"UPDATE wallet_wallet SET {assignment} WHERE id = %s", [pot.pk])
    assert fresh(pot).limits_wallet_id == wallet_of(user).pk


def test_a_wallet_with_money_is_not_closed(owner: Owner) -> None:
    wallet = wallet_of(make_payer("0.01"))
    require_refused(
        owner,
        "closed_wallet_is_empty",
        "UPDATE wallet_wallet SET status = 'closed' WHERE id = %(id)s",
        {"id": wallet.pk},
    )


@pytest.mark.parametrize("mode", ["origin", "replica"])
def test_rates_are_added_and_never_rewritten(owner: Owner, mode: str) -> None:
    set_rate("EUR", "USD", "1.25")
    owner.execute(f"SET session_replication_role = {mode}")
    for statement in (
        "UPDATE transactions_exchangerate SET rate = 9",
        "DELETE FROM transactions_exchangerate",
        "TRUNCATE transactions_exchangerate",
    ):
        require_refused(owner, "rates_are_append_only", statement, {})


@pytest.mark.parametrize(
    ("fact", "base", "quote", "rate"),
    [
        ("rate_is_in_its_one_direction", "USD", "EUR", "1"),
        ("rate_is_in_its_one_direction", "USD", "USD", "1"),
        ("rate_is_plausible", "EUR", "USD", "0"),
        ("rate_is_plausible", "EUR", "USD", "-1"),
        ("rate_is_plausible", "EUR", "USD", "NaN"),
        ("rate_is_plausible", "EUR", "USD", "1000001"),
    ],
)
def test_a_rate_that_cannot_be_is_refused(
    owner: Owner, fact: str, base: str, quote: str, rate: str
) -> None:
    require_refused(
        owner,
        fact,
        "INSERT INTO transactions_exchangerate (id, base, quote, rate, as_of, source, created_at)"
        " VALUES (gen_random_uuid(), %(base)s, %(quote)s, %(rate)s, now(), 'test', now())",
        {"base": base, "quote": quote, "rate": rate},
    )


def test_a_quote_serves_one_conversion_as_it_was_quoted(owner: Owner) -> None:
    set_rate("EUR", "USD", "1.25")
    user = make_payer("30.00")
    dollars, euros = wallet_of(user), open_pot(user, "EUR")
    kept = quote_conversion(
        owner=user, source_wallet_id=dollars.pk, target_wallet_id=euros.pk, amount="10.00"
    )
    other = convert(user, dollars, euros, "9.00").transaction
    use = "UPDATE transactions_quote SET transaction_id = %(by)s WHERE id = %(id)s"
    for by in (uuid.uuid4(), other.id, None):
        require_refused(owner, "quote_is_used_once", use, {"by": by, "id": kept.pk})
    for change in ("to_amount = to_amount * 2", "expires_at = expires_at + interval '1 day'"):
        statement = f"UPDATE transactions_quote SET {change} WHERE id = %(id)s"
        require_refused(owner, "quote_is_used_once", statement, {"id": kept.pk})
    convert(user, dollars, euros, "10.00", quote_id=kept.pk)
    again = convert(user, dollars, euros, "10.00").transaction
    require_refused(owner, "quote_is_used_once", use, {"by": again.id, "id": kept.pk})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transactions_exchangerate SET rate = 9",
        "DELETE FROM transactions_exchangerate",
        "TRUNCATE transactions_exchangerate",
        "UPDATE transactions_quote SET to_amount = 9",
        "TRUNCATE transactions_quote",
        "UPDATE wallet_wallet SET limits_wallet_id = NULL",
        "UPDATE wallet_wallet SET owner_id = NULL",
    ],
)
def test_the_application_has_no_right_to_rewrite_them(statement: str) -> None:
    with (
        pytest.raises(DatabaseError) as refusal,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert sqlstate_of(refusal.value) == "42501"
