"""What PostgreSQL refuses in raw SQL: to the owner for the fact's sake, to the application by right."""

import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg.types.json import Jsonb

from fintech_core.sqlstates import constraint_of, sqlstate_of
from transactions.models import LedgerEntry, Transaction
from transactions.tests.factories import POST_LEDGER, RawPosting, asked, posted
from wallet.models import Wallet, WalletKind
from wallet.services import open_platform_wallet

pytestmark = pytest.mark.usefixtures("committed")

Owner = psycopg.Connection[Any]


def require_refused(owner: Owner, fact: str, query: str, values: dict[str, Any]) -> None:
    """The owner's statement fails by the named constraint or trigger."""
    with pytest.raises(psycopg.Error) as refusal, owner.transaction():
        owner.execute(query, values)
    assert refusal.value.diag.constraint_name == fact, refusal.value


TABLES = ("transactions_ledgerentry", "transactions_transaction")
SET_COLUMN = {"transactions_ledgerentry": "amount = 1", "transactions_transaction": "amount = 1"}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("mode", ["origin", "replica"])
def test_what_was_posted_is_never_updated_deleted_or_truncated(
    owner: Owner, table: str, mode: str
) -> None:
    posted()
    owner.execute(f"SET session_replication_role = {mode}")
    for statement in (
        f"UPDATE {table} SET {SET_COLUMN[table]}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        require_refused(owner, "ledger_is_append_only", statement, {})


def test_the_application_has_no_right_to_write_the_ledger() -> None:
    posted()
    statements = [
        f"{verb} {table}{rest}"
        for table in TABLES
        for verb, rest in (
            ("UPDATE", f" SET {SET_COLUMN[table]}"),
            ("DELETE FROM", ""),
            ("TRUNCATE", ""),
            ("INSERT INTO", f" SELECT * FROM {table}"),
            ("ALTER TABLE", " DISABLE TRIGGER ALL"),
        )
    ]
    statements += [
        "UPDATE wallet_wallet SET balance = 1000000",
        "UPDATE wallet_wallet SET held = 0",
        "DELETE FROM wallet_wallet",
        "TRUNCATE wallet_wallet CASCADE",
        "UPDATE events_outboxevent SET type = 'x'",
        "DELETE FROM events_outboxevent",
        "TRUNCATE events_outboxevent",
        "UPDATE events_auditrecord SET action = 'x'",
        "DELETE FROM events_auditrecord",
        "TRUNCATE events_auditrecord",
        "SET session_replication_role = replica",
    ]
    for statement in statements:
        with (
            pytest.raises(DatabaseError) as refusal,
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
        assert sqlstate_of(refusal.value) == "42501", statement


INSERT_ENTRY = """
    INSERT INTO transactions_ledgerentry (transaction_id, leg, wallet_id, sequence, amount, currency,
        balance_after, previous_hash, hash, created_at)
    SELECT %(transaction)s, l.leg, w.id, w.last_sequence + 1, l.amount, w.currency,
        w.balance + l.amount, w.head_hash, '\\x00', t.created_at
    FROM transactions_transaction t,
        (VALUES (%(first_leg)s, %(source)s::uuid, -%(amount)s::numeric),
                (%(first_leg)s + 1, %(target)s::uuid, %(amount)s::numeric)) AS l (leg, wallet, amount)
    JOIN wallet_wallet w ON w.id = l.wallet
    WHERE t.id = %(transaction)s
"""


def entry_values(row: Transaction, **changes: Any) -> dict[str, Any]:
    return {
        "transaction": row.pk,
        "first_leg": 3,
        "source": row.from_wallet_id,
        "target": row.to_wallet_id,
        "amount": Decimal("1.00"),
        **changes,
    }


def test_balanced_entries_cannot_join_an_old_transaction(owner: Owner) -> None:
    row = posted()
    require_refused(owner, "transaction_is_posted_whole", INSERT_ENTRY, entry_values(row))
    require_refused(
        owner,
        "leg_is_unique_per_transaction",
        INSERT_ENTRY,
        entry_values(row, first_leg=1),
    )


# One whole posting in raw SQL, as post_ledger() makes it; each test bends one thing in it.
POSTING = """
    WITH asked AS (
        SELECT t FROM jsonb_populate_recordset(NULL::transactions_transaction, %(transaction)s) t
    ), legs AS (
        SELECT l.leg, w.id AS wallet, l.amount, w.currency, w.head_hash,
               w.last_sequence + {step} AS sequence, w.balance + l.amount + {drift} AS balance_after
        FROM (VALUES (1, %(source)s::uuid, -({debit})::numeric),
                     (2, %(target)s::uuid, ({credit})::numeric)) AS l (leg, wallet, amount)
        JOIN wallet_wallet w ON w.id = l.wallet
    ), hashed AS (
        SELECT legs.*, {hash} AS hash FROM legs
    ), written_transaction AS (
        INSERT INTO transactions_transaction SELECT (t).* FROM asked
    ), announced AS (
        INSERT INTO events_outboxevent (id, type)
        SELECT (t).id, {announced} FROM asked WHERE {is_announced}
    ), written_entries AS (
        INSERT INTO transactions_ledgerentry (transaction_id, leg, wallet_id, sequence, amount,
            currency, balance_after, previous_hash, hash, created_at)
        SELECT %(id)s, leg, wallet, sequence, amount, currency, balance_after, {previous}, hash,
            (SELECT (t).created_at FROM asked)
        FROM hashed WHERE {which}
    )
    UPDATE wallet_wallet w
    SET balance = h.balance_after + {wallet_drift}, last_sequence = h.sequence, head_hash = h.hash,
        last_entry_at = (SELECT (t).created_at FROM asked)
    FROM hashed h WHERE w.id = h.wallet AND {moved}
"""
WHOLE = {
    "debit": "10.00",
    "credit": "10.00",
    "step": "1",
    "drift": "0.00",
    "previous": "head_hash",
    "hash": """entry_hash({previous}, (SELECT transaction_digest(
        (t).id, (t).kind, (t).amount, (t).currency, (t).fee, (t).to_amount, (t).to_currency,
        (t).from_wallet_id, (t).to_wallet_id, (t).parent_id, (t).initiated_by_id,
        (t).idempotency_key, (t).fingerprint, (t).request_id, (t).client_address, (t).created_at,
        (t).description, (t).metadata) FROM asked),
        wallet, sequence, leg, amount, balance_after)""",
    "announced": "'transaction.' || (t).status",
    "is_announced": "true",
    "which": "true",
    "moved": "true",
    "wallet_drift": "0.00",
}


def posting(bent: dict[str, str], **columns: Any) -> tuple[str, dict[str, Any]]:
    """The statement and its values: 10.00 from a wallet with 90.00, with some parts bent."""
    empty = {"description": "", "metadata": {}, "decline_code": "", "request_id": ""}
    row = asked(posted(), **empty | {"to_currency": "", "hash_scheme": 2} | columns)
    values = {
        "transaction": Jsonb([row]),
        "id": row["id"],
        "source": row["from_wallet_id"],
        "target": row["to_wallet_id"],
    }
    parts = WHOLE | bent
    parts["hash"] = parts["hash"].format(previous=parts["previous"])
    return POSTING.format(**parts), values


def test_a_whole_posting_in_raw_sql_is_taken(owner: Owner) -> None:
    """The bent ones below are refused for what is bent in them, and for nothing else."""
    owner.execute(*posting({}))


@pytest.mark.parametrize(
    ("fact", "bent"),
    [
        ("transaction_sums_to_zero", {"credit": "11.00"}),
        ("transaction_sums_to_zero", {"which": "leg = 1", "moved": "leg = 1"}),
        ("transaction_sums_to_zero", {"which": "leg = 2", "moved": "leg = 2"}),
        ("transaction_tells_its_entries", {"which": "false", "moved": "false"}),
        ("transaction_tells_its_entries", {"debit": "9.00", "credit": "9.00"}),
        ("entry_continues_the_chain", {"step": "2"}),
        ("sequence_is_unique_per_wallet", {"step": "0"}),
        ("transaction_is_announced", {"announced": "'transaction.declined'"}),
        ("transaction_is_announced", {"is_announced": "false"}),
        ("entry_continues_the_chain", {"drift": "5.00"}),
        ("entry_continues_the_chain", {"previous": "'\\x01'::bytea"}),
        ("entry_continues_the_chain", {"hash": "'\\x01'::bytea"}),
        ("wallet_moves_with_its_entries", {"moved": "false"}),
        ("wallet_moves_with_its_entries", {"moved": "leg = 1"}),
        ("balance_follows_the_entries", {"which": "false"}),
        ("wallet_moves_with_its_entries", {"wallet_drift": "1.00"}),
        ("available_is_never_negative", {"debit": "90.01", "credit": "90.01"}),
        ("available_is_never_negative", {"debit": "-10.00", "credit": "-10.01"}),
        ("entry_amount_is_exact", {"debit": "10.001", "credit": "10.001", "moved": "false"}),
        ("entry_amount_is_exact", {"debit": "'NaN'", "credit": "'NaN'", "moved": "false"}),
        (
            "entry_amount_is_exact",
            {"debit": "'Infinity'", "credit": "'Infinity'", "moved": "false"},
        ),
        ("entry_amount_is_exact", {"debit": "1e15", "credit": "1e15", "moved": "false"}),
        ("entry_amount_is_exact", {"debit": "0.00", "credit": "0.00", "moved": "false"}),
    ],
)
def test_a_bent_posting_is_refused(owner: Owner, fact: str, bent: dict[str, str]) -> None:
    statement, values = posting(bent)
    with pytest.raises(psycopg.Error) as refusal, owner.transaction():
        owner.execute(statement, values)
    # A wallet that moved wrongly is refused whichever of the two sides is looked at first.
    alike = {"wallet_moves_with_its_entries", "balance_follows_the_entries"}
    facts = alike if fact in alike else {fact}
    if fact == "transaction_tells_its_entries":
        facts |= alike
    assert refusal.value.diag.constraint_name in facts, refusal.value


@pytest.mark.parametrize(
    ("fact", "columns"),
    [
        ("transaction_amount_is_exact", {"amount": "NaN"}),
        ("transaction_amount_is_exact", {"amount": "-10.00"}),
        ("transaction_amount_is_exact", {"amount": "10.000"}),
        ("transaction_kind_and_status_are_known", {"kind": "gift"}),
        ("idempotency_key_is_printable", {"idempotency_key": ""}),
        ("declined_exactly_with_a_decline_code", {"decline_code": "insufficient_funds"}),
        ("fingerprint_is_sha256", {"fingerprint": "\\x00"}),
        (
            "entry_belongs_to_a_posted_transaction",
            {"status": "declined", "decline_code": "wallet_frozen"},
        ),
        ("entry_continues_the_chain", {"created_at": "1999-01-01T00:00:00Z"}),
        ("entry_is_not_ahead_of_time", {"created_at": "2999-01-01T00:00:00Z"}),
    ],
)
def test_a_bent_transaction_is_refused(owner: Owner, fact: str, columns: dict[str, str]) -> None:
    require_refused(owner, fact, *posting({}, **columns))


def test_a_transaction_happened_at_a_finite_time(owner: Owner) -> None:
    row = asked(posted(), status="declined", decline_code="wallet_frozen", created_at="infinity")
    values = {"rows": Jsonb([row])}
    require_refused(
        owner,
        "transaction_time_is_finite",
        "SELECT post_ledger(ARRAY("
        "SELECT json_populate_recordset(NULL::posted_transaction, %(rows)s::json)), '{}', '{}', '[]')",
        values,
    )


@pytest.mark.parametrize("mode", ["origin", "replica"])
@pytest.mark.parametrize(
    ("fact", "assignment"),
    [
        ("balance_follows_the_entries", "balance = balance + 1000"),
        ("sequence_never_goes_back", "balance = 0, last_sequence = 0, head_hash = ''"),
        ("balance_follows_the_entries", "last_sequence = last_sequence + 1"),
        ("balance_follows_the_entries", "head_hash = '\\x00'"),
        ("balance_follows_the_entries", "last_entry_at = '2999-01-01'"),
        ("balance_follows_the_entries", "last_entry_at = NULL"),
        ("held_follows_the_holds", "held = 1.00"),
        ("spending_adds_up", "spent_in_day = '-Infinity'"),
        ("spending_adds_up", "spent_in_day = -1000"),
        ("spending_adds_up", "spent_in_month = spent_in_day - 0.01"),
        ("spending_adds_up", "spent_in_month = spent_in_month + 0.001"),
        ("spending_window_follows_the_clock", "spent_on = '9999-12-31'"),
        ("spending_window_follows_the_clock", "spent_on = spent_on - 1"),
        ("wallet_amounts_are_exact", "balance = balance * 1.000"),
        ("wallet_identity_is_fixed", "currency = 'EUR'"),
        ("wallet_identity_is_fixed", "id = gen_random_uuid()"),
        (
            "wallet_identity_is_fixed",
            "user_id = NULL, owner_id = NULL, kind = 'cash', purpose = 'mine'",
        ),
        ("available_is_never_negative", "balance = -1"),
        ("held_is_never_negative", "held = -1"),
        ("wallet_amounts_are_exact", "balance = 'NaN'"),
        ("wallet_amounts_are_exact", "balance = 1.001"),
    ],
)
def test_a_wallet_is_never_assigned(owner: Owner, mode: str, fact: str, assignment: str) -> None:
    row = posted()
    owner.execute(f"SET session_replication_role = {mode}")
    require_refused(
        owner,
        fact,
        f"UPDATE wallet_wallet SET {assignment} WHERE id = %(id)s",
        {"id": row.from_wallet_id},
    )


def test_a_balance_cannot_go_back_to_an_older_entry(owner: Owner) -> None:
    row = posted()
    first = LedgerEntry.objects.get(wallet_id=row.from_wallet_id, sequence=1)
    require_refused(
        owner,
        "sequence_never_goes_back",
        "UPDATE wallet_wallet SET balance = %(balance)s, last_sequence = 1, head_hash = %(hash)s"
        " WHERE id = %(id)s",
        {"balance": first.balance_after, "hash": bytes(first.hash), "id": row.from_wallet_id},
    )


def test_wallets_are_neither_born_with_money_nor_removed(owner: Owner) -> None:
    row = posted()
    insert = (
        "INSERT INTO wallet_wallet SELECT (jsonb_populate_record(w, %(changes)s)).*"
        " FROM wallet_wallet w WHERE id = %(id)s"
    )
    changes = {
        "id": str(uuid.uuid4()),
        "user_id": None,
        "owner_id": None,
        "kind": "cash",
        "purpose": uuid.uuid4().hex,
    }
    values = {"changes": Jsonb(changes), "id": row.from_wallet_id}
    require_refused(owner, "wallet_starts_empty", insert, values)
    for statement in ("DELETE FROM wallet_wallet", "TRUNCATE wallet_wallet CASCADE"):
        require_refused(owner, "wallets_are_kept", statement, {})


def test_a_temporary_table_cannot_stand_in_for_the_ledger(owner: Owner) -> None:
    row = posted()
    owner.execute(
        "CREATE TEMP TABLE transactions_ledgerentry (LIKE public.transactions_ledgerentry)"
    )
    owner.execute(
        "INSERT INTO pg_temp.transactions_ledgerentry SELECT * FROM public.transactions_ledgerentry"
        " WHERE wallet_id = %s",
        [row.from_wallet_id],
    )
    owner.execute(
        "UPDATE pg_temp.transactions_ledgerentry SET sequence = sequence + 1, balance_after = 1000"
    )
    require_refused(
        owner,
        "balance_follows_the_entries",
        "UPDATE wallet_wallet SET balance = 1000, last_sequence = last_sequence + 1"
        " WHERE id = %(id)s",
        {"id": row.from_wallet_id},
    )


def test_an_entry_in_another_currency_than_its_wallet_is_refused(owner: Owner) -> None:
    euro = open_platform_wallet(
        purpose=f"cash:{uuid.uuid4().hex[:8]}", kind=WalletKind.CASH, currency="EUR"
    )
    require_refused(owner, "transaction_sums_to_zero", *posting({}, to_wallet_id=str(euro.pk)))
    assert Wallet.objects.get(pk=euro.pk).balance == 0


def test_a_reused_key_is_refused_by_its_name() -> None:
    row = posted()
    again = RawPosting().add(
        asked(row, idempotency_key=row.idempotency_key),
        (row.from_wallet_id, "-10.00"),
        (row.to_wallet_id, "10.00"),
    )
    with (
        pytest.raises(DatabaseError) as refusal,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(POST_LEDGER, again.arguments)
    assert constraint_of(refusal.value) == "idempotency_key_is_unique_per_caller"
