"""Whoever changes what is committed is found out, by row, whatever rights they had."""

import uuid

import pytest
from django.db import connection

from transactions.tests.factories import make_payee, wallet_of
from transactions.tests.tampering import (
    ENTRY,
    HASHED,
    TRANSACTION,
    Tampering,
    first_violation,
    make_ledger,
    sql,
)
from wallet.models import Hold

pytestmark = pytest.mark.usefixtures("evidence")


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        ("amount = amount + 1", "I17 balance continues the entry before"),
        ("balance_after = balance_after + 1", "I17 balance continues the entry before"),
        ("hash = sha256(hash)", HASHED),
        ("previous_hash = sha256(hash)", "I17 hash continues the entry before"),
        ("leg = 9", HASHED),
        ("created_at = created_at - interval '1 second'", "I17 entry has its transaction's time"),
        ("currency = 'EUR'", "I18 entry has its wallet's currency"),
        ("transaction_id = gen_random_uuid()", "I17 entry belongs to a transaction"),
    ],
)
def test_an_edited_entry_is_named(tampering: Tampering, change: str, invariant: str) -> None:
    ledger = make_ledger()
    with tampering():
        sql(f"UPDATE {ENTRY} SET {change} WHERE id = %s", ledger.middle.pk)
        assert first_violation() == (ENTRY, str(ledger.middle.pk), invariant)


@pytest.mark.parametrize(
    "change",
    [
        "description = 'rent'",
        'metadata = \'{"order": "2"}\'',
        "client_address = '203.0.113.8'",
        "client_address = NULL",
        "fee = 0.01",
        "amount = amount + 1",
        "kind = 'deposit'",
        "from_wallet_id = to_wallet_id, to_wallet_id = from_wallet_id",
        "initiated_by_id = NULL",
        "idempotency_key = 'another'",
        "fingerprint = sha256(fingerprint)",
        "request_id = 'another'",
        "parent_id = gen_random_uuid()",
        "hash_scheme = 1",
    ],
)
def test_an_edited_transaction_is_named_by_its_first_entry(
    tampering: Tampering, change: str
) -> None:
    ledger = make_ledger()
    with tampering():
        sql(f"UPDATE {TRANSACTION} SET {change} WHERE id = %s", ledger.middle.transaction_id)
        assert first_violation() == (ENTRY, str(ledger.middle.pk), HASHED)


def test_a_deleted_entry_is_missed_by_the_one_behind_it(tampering: Tampering) -> None:
    ledger = make_ledger()
    with tampering():
        sql(f"DELETE FROM {ENTRY} WHERE id = %s", ledger.middle.pk)
        assert first_violation() == (ENTRY, str(ledger.last.pk), "I17 sequences have no gap")


def cut_tail(wallet_id: uuid.UUID) -> None:
    """Take a wallet's last entry away and set the wallet back to the one before."""
    sql(
        f"DELETE FROM {ENTRY} WHERE wallet_id = %s AND sequence ="
        " (SELECT last_sequence FROM wallet_wallet WHERE id = wallet_id)",
        wallet_id,
    )
    sql(
        "UPDATE wallet_wallet w SET balance = e.balance_after, last_sequence = e.sequence,"
        " head_hash = e.hash, last_entry_at = e.created_at"
        f" FROM (SELECT * FROM {ENTRY} WHERE wallet_id = %s"
        " ORDER BY sequence DESC LIMIT 1) e WHERE w.id = e.wallet_id",
        wallet_id,
    )


def test_a_tail_that_was_cut_off_without_a_trace_shows_by_the_checkpoint(
    tampering: Tampering,
) -> None:
    ledger = make_ledger()
    with tampering():
        cut_tail(ledger.source.pk)
        cut_tail(wallet_of(ledger.payee).pk)
        sql(f"DELETE FROM {TRANSACTION} WHERE id = %s", ledger.last.transaction_id)
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM ledger_violations()")
            assert cursor.fetchall() == []
        table, row, invariant = first_violation()
    assert (table, row) == ("wallet_wallet", str(ledger.source.pk))
    assert invariant == "P4 no chain is shorter than a checkpoint has seen"


_SCHEMES = {
    1: "sha256(e.previous_hash || ledger_leaf(transaction_facts(t.id, t.kind, t.amount, t.currency,"
    " t.from_wallet_id, t.to_wallet_id, t.initiated_by_id, t.idempotency_key, t.fingerprint,"
    " t.description, t.metadata, t.request_id, t.client_address, t.created_at), e.leg, e.wallet_id,"
    " e.sequence, e.amount, e.balance_after))",
    2: "entry_hash(e.previous_hash, transaction_digest(t.id, t.kind, t.amount, t.currency, t.fee,"
    " t.to_amount, t.to_currency, t.from_wallet_id, t.to_wallet_id, t.parent_id, t.initiated_by_id,"
    " t.idempotency_key, t.fingerprint, t.request_id, t.client_address, t.created_at, t.description,"
    " t.metadata), e.wallet_id, e.sequence, e.leg, e.amount, e.balance_after)",
}


@pytest.mark.parametrize("scheme", [1, 2])
def test_a_history_that_was_rewritten_with_good_hashes_shows_by_the_checkpoint(
    tampering: Tampering, scheme: int
) -> None:
    ledger = make_ledger()
    rewritten = ledger.last.transaction_id
    with tampering():
        sql(
            f"UPDATE {TRANSACTION} SET description = 'rent', hash_scheme = %s WHERE id = %s",
            scheme,
            rewritten,
        )
        sql(
            f"UPDATE {ENTRY} e SET hash = {_SCHEMES[scheme]} FROM {TRANSACTION} t"
            " WHERE t.id = e.transaction_id AND t.id = %s",
            rewritten,
        )
        sql(
            f"UPDATE wallet_wallet w SET head_hash = e.hash FROM {ENTRY} e"
            " WHERE e.wallet_id = w.id AND e.sequence = w.last_sequence AND e.transaction_id = %s",
            rewritten,
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM ledger_violations()")
            assert cursor.fetchall() == []
        assert first_violation() == (
            ENTRY,
            str(ledger.last.pk),
            f"P4 entry is the one that checkpoint {ledger.checkpoint.number} has seen",
        )


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        ("balance = balance + 5", "I3 balance is the sum of the entries"),
        ("held = held - 1", "I3 held is what the open holds reserve"),
        ("head_hash = sha256(head_hash)", "I3 wallet stands at its newest entry: hash"),
        ("last_sequence = last_sequence + 1", "I3 wallet stands at its newest entry: sequence"),
    ],
)
def test_a_wallet_that_moved_without_entries_is_named(
    tampering: Tampering, change: str, invariant: str
) -> None:
    ledger = make_ledger()
    with tampering():
        sql(f"UPDATE wallet_wallet SET {change} WHERE id = %s", ledger.source.pk)
        assert first_violation() == ("wallet_wallet", str(ledger.source.pk), invariant)


def test_a_wallet_that_was_given_to_somebody_else_is_named(tampering: Tampering) -> None:
    ledger, thief = make_ledger(), make_payee()
    with tampering():
        sql("DELETE FROM wallet_wallet WHERE owner_id = %s", thief.pk)
        sql(
            "UPDATE wallet_wallet SET owner_id = %s, user_id = %s WHERE id = %s",
            thief.pk,
            thief.pk,
            ledger.source.pk,
        )
        assert first_violation() == (
            "wallet_wallet",
            str(ledger.source.pk),
            f"P4 wallet is whose it was at checkpoint {ledger.checkpoint.number}",
        )


def test_a_hold_that_was_changed_is_named(tampering: Tampering) -> None:
    ledger = make_ledger()
    hold = Hold.objects.get(wallet=ledger.source)
    with tampering():
        sql("UPDATE wallet_hold SET captured_amount = 1.00 WHERE id = %s", hold.pk)
        sql("UPDATE wallet_wallet SET held = held - 1.00 WHERE id = %s", ledger.source.pk)
        assert first_violation() == (
            "wallet_hold",
            str(hold.pk),
            "P7 captured is what the captures posted",
        )


def test_a_transaction_that_moved_nothing_is_named(tampering: Tampering) -> None:
    ledger = make_ledger()
    copied = "kind, status, amount, currency, fee, to_currency, from_wallet_id, to_wallet_id,"
    copied += " fingerprint, description, metadata, decline_code, request_id, created_at"
    with tampering():
        made = uuid.uuid4()
        sql(
            f"INSERT INTO {TRANSACTION} (id, idempotency_key, {copied})"
            f" SELECT %s, 'forged', {copied} FROM {TRANSACTION} WHERE id = %s",
            made,
            ledger.last.transaction_id,
        )
        table, row, invariant = first_violation()
    assert (table, row) == (TRANSACTION, str(made))
    assert invariant == "I1 posted has two or more entries, others none"
