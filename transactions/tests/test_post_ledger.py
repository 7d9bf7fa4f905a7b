"""``post_ledger()``, the one way to write the ledger, called as its caller should never call it."""

import datetime
import uuid
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from fintech_core.sqlstates import constraint_of
from transactions.models import Transaction
from transactions.tests.factories import (
    POST_LEDGER,
    RawPosting,
    asked,
    make_payee,
    make_payer,
    posted,
)
from wallet.models import WalletKind
from wallet.services import open_platform_wallet

pytestmark = pytest.mark.usefixtures("committed")

Owner = psycopg.Connection[Any]


def legs_of(row: Transaction, *legs: tuple[uuid.UUID, str], **columns: Any) -> list[str]:
    """Arguments of ``post_ledger()``: one transaction of 10.00 between the wallets of ``row``."""
    return RawPosting().add(asked(row, **columns), *legs).arguments


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
    call_post_ledger(legs_of(row, *legs, fee="0.50"))


def call_post_ledger(arguments: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(POST_LEDGER, arguments)


def test_an_entry_of_no_transaction_or_of_no_wallet_is_refused() -> None:
    row = posted()
    legs = ((row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
    for member in ("t", "w"):
        bent, stranger = RawPosting().add(asked(row), *legs), str(uuid.uuid4())
        for entry in bent.entries:
            entry[member] = stranger
            entry["sequence"] += 100 * entry["leg"] if member == "w" else 0
        with pytest.raises(DatabaseError) as refusal, transaction.atomic():
            call_post_ledger(bent.arguments)
        facts = {"entry_belongs_to_a_posted_transaction", "balance_follows_the_entries"}
        assert constraint_of(refusal.value) in facts


@pytest.mark.parametrize(
    ("fact", "columns"),
    [
        ("transaction_names_a_caller_that_exists", {"initiated_by_id": str(uuid.UUID(int=1))}),
        ("transaction_names_a_parent_that_exists", {"parent_id": str(uuid.UUID(int=1))}),
    ],
)
def test_a_posting_refers_to_what_exists(fact: str, columns: dict[str, str]) -> None:
    row = posted()
    legs = ((row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
    with pytest.raises(DatabaseError) as refusal, transaction.atomic():
        call_post_ledger(legs_of(row, *legs, **columns))
    assert constraint_of(refusal.value) == fact


def test_a_decline_refers_to_what_exists() -> None:
    row = asked(posted(), status="declined", decline_code="wallet_frozen")
    for member in ("from_wallet_id", "to_wallet_id"):
        bent = row | {member: str(uuid.uuid4())}
        with pytest.raises(DatabaseError) as refusal, transaction.atomic():
            call_post_ledger(RawPosting().add(bent).arguments)
        assert constraint_of(refusal.value) == "transaction_names_wallets_that_exist"


def test_no_entry_leaves_a_users_wallet_below_zero_even_for_a_moment() -> None:
    row, rich = posted(), make_payer("500.00")
    back = {"from_wallet_id": str(rich.wallet.pk), "to_wallet_id": str(row.from_wallet_id)}
    both = RawPosting()
    both.add(
        asked(row, amount="500.00"), (row.from_wallet_id, "-500.00"), (row.to_wallet_id, "500.00")
    )
    both.add(
        asked(row, amount="500.00", **back),
        (rich.wallet.pk, "-500.00"),
        (row.from_wallet_id, "500.00"),
    )
    with pytest.raises(DatabaseError) as refusal, transaction.atomic():
        call_post_ledger(both.arguments)
    assert constraint_of(refusal.value) == "available_is_never_negative"


def test_a_clock_that_was_ahead_and_is_set_back_does_not_stop_money(owner: Owner) -> None:
    row = posted()
    tables = ("transactions_ledgerentry", "transactions_transaction", "wallet_wallet")
    now = datetime.datetime.now(datetime.UTC)
    legs = ((row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
    chain = RawPosting()

    def post(moment: datetime.datetime) -> None:
        chain.rows, chain.entries = [], []
        chain.add(asked(row, created_at=moment.isoformat()), *legs)
        owner.execute(POST_LEDGER, chain.arguments)

    for table in tables:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    post(now + datetime.timedelta(hours=1))
    for table in tables:
        owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    post(now + datetime.timedelta(hours=1))
    with pytest.raises(psycopg.Error) as refusal, owner.transaction():
        post(now + datetime.timedelta(hours=2))
    assert refusal.value.diag.constraint_name == "entry_is_not_ahead_of_time"


def test_no_entry_is_dated_before_the_one_before_it(owner: Owner) -> None:
    row = posted()
    earlier = row.created_at - datetime.timedelta(seconds=1)
    legs = ((row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
    with pytest.raises(psycopg.Error) as refusal:
        owner.execute(POST_LEDGER, legs_of(row, *legs, created_at=earlier.isoformat()))
    assert refusal.value.diag.constraint_name == "entry_continues_the_chain"


def test_a_role_without_rights_cannot_post(owner: Owner) -> None:
    arguments = legs_of(posted())
    role = f"reader_{uuid.uuid4().hex[:8]}"
    owner.execute(f"CREATE ROLE {role}")
    owner.execute(f"SET LOCAL ROLE {role}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute(POST_LEDGER, arguments)


@pytest.mark.parametrize("table", ["transactions_transaction", "transactions_ledgerentry"])
def test_the_tables_can_grow_while_postings_go_on(owner: Owner, table: str) -> None:
    row = posted()
    owner.execute(f"ALTER TABLE {table} ADD COLUMN grown numeric NOT NULL DEFAULT 0")
    arguments = legs_of(row, (row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
    owner.execute(POST_LEDGER, arguments)
    assert owner.execute("SELECT * FROM ledger_violations()").fetchall() == []


def test_a_posting_reads_no_table_from_end_to_end(owner: Owner) -> None:
    """However small the tables are here, a plan that scans them would be kept when they have grown."""
    row = posted()
    for _ in range(40):
        make_payee()
    arguments = legs_of(row, (row.from_wallet_id, "-10.00"), (row.to_wallet_id, "10.00"))
    owner.execute(POST_LEDGER, arguments)
    owner.execute(
        "SELECT open_accounts(%s, %s, %s, %s, %s, %s, %s, %s, %s, NULL)",
        [
            [row.to_wallet_id],
            [row.initiated_by_id],
            ["a@example.com"],
            ["+16505550100"],
            [row.initiated_by_id],
            [row.pk],
            [row.initiated_by_id],
            ["k"],
            ["k"],
        ],
    )
    scanned = owner.execute(
        "SELECT relname, seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables"
        " WHERE seq_scan > 0 OR idx_tup_fetch > 40"
    ).fetchall()
    assert scanned == []
