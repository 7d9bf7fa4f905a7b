"""``post_ledger()``, the one way to write the ledger, called as its caller should never call it."""

import datetime
import json
import uuid
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from fintech_core.sqlstates import constraint_of
from transactions.models import Transaction
from transactions.tests.factories import asked, make_payee, make_payer, posted
from wallet.models import WalletKind
from wallet.services import open_platform_wallet

pytestmark = pytest.mark.usefixtures("committed")

Owner = psycopg.Connection[Any]


def legs_of(row: Transaction, *legs: tuple[uuid.UUID, str], **columns: Any) -> list[str]:
    """Arguments of ``post_ledger()``: one transaction of 10.00 between the wallets of ``row``."""
    row_asked = asked(row, **columns)
    told = [{"transaction": row_asked["id"], "wallet": str(w), "amount": a} for w, a in legs]
    return [json.dumps([row_asked]), json.dumps(told), "[]"]


def test_a_posting_touches_no_wallet_but_its_two_and_the_platforms() -> None:
    row, other = posted(), make_payer("500.00")
    source, target, third = row.from_wallet_id, row.to_wallet_id, other.wallet.pk
    for legs in (
        ((source, "200.00"), (target, "10.00"), (third, "-210.00")),
        ((source, "-90.00"), (target, "10.00"), (third, "80.00")),
        ((source, "-5.00"), (target, "10.00"), (third, "-5.00")),
        ((source, "-10.00"), (target, "10.00"), (source, "10.00"), (target, "-10.00")),
    ):
        with pytest.raises(DatabaseError) as refusal, transaction.atomic():
            call_post_ledger(legs_of(row, *legs))
        assert constraint_of(refusal.value) == "transaction_tells_its_entries"


def test_a_platform_fee_may_be_part_of_a_posting() -> None:
    row = posted()
    fees = open_platform_wallet(purpose="fees:test", kind=WalletKind.FEES, currency="USD")
    legs = ((row.from_wallet_id, "-10.50"), (row.to_wallet_id, "10.00"), (fees.pk, "0.50"))
    call_post_ledger(legs_of(row, *legs))


def call_post_ledger(arguments: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM post_ledger(%s, %s, %s)", arguments)


def test_a_leg_without_its_transaction_or_wallet_is_not_dropped_in_silence() -> None:
    row = posted()
    legs = ((row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"), (uuid.uuid4(), "0.00"))
    with pytest.raises(DatabaseError) as refusal, transaction.atomic():
        call_post_ledger(legs_of(row, *legs))
    assert constraint_of(refusal.value) == "leg_has_its_transaction_and_wallet"


def test_no_entry_leaves_a_users_wallet_below_zero_even_for_a_moment() -> None:
    row, rich = posted(), make_payer("500.00")
    first = legs_of(row, (row.from_wallet_id, "-500.00"), (row.to_wallet_id, "500.00"))
    second = legs_of(
        row,
        (rich.wallet.pk, "-500.00"),
        (row.from_wallet_id, "500.00"),
        from_wallet_id=str(rich.wallet.pk),
        to_wallet_id=str(row.from_wallet_id),
    )
    both = [json.dumps(json.loads(a) + json.loads(b)) for a, b in zip(first, second, strict=True)]
    both[0] = both[0].replace('"amount": "10.00"', '"amount": "500.00"')
    with pytest.raises(DatabaseError) as refusal, transaction.atomic():
        call_post_ledger(both)
    assert constraint_of(refusal.value) == "available_is_never_negative"


def test_a_clock_that_was_ahead_and_is_set_back_does_not_stop_money(owner: Owner) -> None:
    row = posted()
    tables = ("transactions_ledgerentry", "transactions_transaction", "wallet_wallet")
    now = datetime.datetime.now(datetime.UTC)

    def post(moment: datetime.datetime) -> None:
        legs = ((row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
        arguments = legs_of(row, *legs, created_at=moment.isoformat())
        owner.execute("SELECT * FROM post_ledger(%s, %s, %s)", arguments)

    for table in tables:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    post(now + datetime.timedelta(hours=1))
    owner.execute(
        "SET CONSTRAINTS ALL IMMEDIATE"
    )  # Nothing may be pending on a table that is altered.
    for table in tables:
        owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    post(now + datetime.timedelta(hours=1))
    for later in (datetime.timedelta(hours=2), datetime.timedelta(0)):
        with pytest.raises(psycopg.Error) as refusal, owner.transaction():
            post(now + later)
        assert refusal.value.diag.constraint_name in {
            "entry_is_not_ahead_of_time",
            "entry_continues_the_chain",
        }


def test_a_role_without_rights_cannot_post(owner: Owner) -> None:
    arguments = legs_of(posted())
    role = f"reader_{uuid.uuid4().hex[:8]}"
    owner.execute(f"CREATE ROLE {role}")
    owner.execute(f"SET LOCAL ROLE {role}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute("SELECT * FROM post_ledger(%s, %s, %s)", arguments)


@pytest.mark.parametrize("table", ["transactions_transaction", "transactions_ledgerentry"])
def test_the_tables_can_grow_while_postings_go_on(owner: Owner, table: str) -> None:
    row = posted()
    owner.execute(f"ALTER TABLE {table} ADD COLUMN grown numeric NOT NULL DEFAULT 0")
    arguments = legs_of(row, (row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
    owner.execute("SELECT * FROM post_ledger(%s, %s, %s)", arguments)
    assert owner.execute("SELECT * FROM ledger_violations()").fetchall() == []


def test_a_posting_reads_no_table_from_end_to_end(owner: Owner) -> None:
    """However small the tables are here, a plan that scans them would be kept when they have grown."""
    row = posted()
    for _ in range(40):
        make_payee()
    arguments = legs_of(row, (row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
    owner.execute("SELECT * FROM post_ledger(%s, %s, %s)", arguments)
    owner.execute(
        "SELECT * FROM transfer_parties(%s, %s, %s, %s), user_standings(%s)",
        [[row.initiated_by_id], ["a@example.com"], ["+16505550100"], [row.to_wallet_id]]
        + [[row.initiated_by_id]],
    )
    owner.execute("SELECT * FROM transactions_of_keys(%s, %s)", [[row.initiated_by_id], ["k"]])
    scanned = owner.execute(
        "SELECT relname, seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables"
        " WHERE seq_scan > 0 OR idx_tup_fetch > 40"
    ).fetchall()
    assert scanned == []
