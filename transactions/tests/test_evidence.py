"""Whoever changes what is committed is found out, by row, whatever rights they had."""

import base64
import io
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction

from transactions.merkle import merkle_root
from transactions.models import (
    Checkpoint,
    CheckpointHead,
    LedgerEntry,
    LedgerHalt,
    Transaction,
    Verification,
)
from transactions.selectors import reconcile
from transactions.services import take_checkpoint, transfer, verify, verify_or_halt
from transactions.signatures import digest_of, is_signed, line_of, sign, statement_of
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from users.models import User
from wallet.models import Hold, Wallet

pytestmark = pytest.mark.usefixtures("evidence")

Tampering = Callable[[], Any]


@dataclass
class Ledger:
    """A payer with a deposit, three transfers and a hold; a payee; the newest checkpoint covers them."""

    payer: User
    payee: User
    source: Wallet
    middle: LedgerEntry
    last: LedgerEntry
    checkpoint: Checkpoint


def make_ledger() -> Ledger:
    payer, payee = make_payer("100.00"), make_payee()
    for place in range(3):
        transfer(instruct(payer, payee, f"{place + 1}.00", client_address="203.0.113.7"))
    transfer(instruct(payer, payee, "5.00", hold_for=timedelta(hours=1)))
    checkpoint = take_checkpoint()
    assert checkpoint is not None
    source = wallet_of(payer)
    entries = list(LedgerEntry.objects.filter(wallet=source).order_by("sequence"))
    return Ledger(payer, payee, source, entries[2], entries[3], checkpoint)


def sql(text: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, values)


def first_violation() -> tuple[str, str, str]:
    """(table, row, invariant) of the first that a full verification names."""
    found = verify(after_checkpoint=0).violations[0]
    assert found.expected != found.found
    return found.table, found.row, found.invariant


ENTRY, TRANSACTION = "transactions_ledgerentry", "transactions_transaction"
HASHED = "I17 entry and transaction are what was hashed"


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
        sql("ALTER TABLE transactions_transaction DROP CONSTRAINT wallets_of_a_transaction_differ")
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
        f" head_hash = e.hash FROM (SELECT * FROM {ENTRY} WHERE wallet_id = %s"
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


CHECKPOINT = "transactions_checkpoint"
SIGNED = "P4 checkpoint is signed by a key that we know"


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        ("signature = sha256(signature) || sha256(signature)", SIGNED),
        ("root = sha256(root)", SIGNED),
        ("entry_count = entry_count - 1", SIGNED),
        ("created_at = created_at - interval '1 day'", SIGNED),
        ("key_id = '0000000000000000'", SIGNED),
        ("previous = sha256(previous)", "P4 checkpoint follows the one before"),
    ],
)
def test_an_edited_checkpoint_is_named(tampering: Tampering, change: str, invariant: str) -> None:
    number = make_ledger().checkpoint.number
    with tampering():
        sql(f"UPDATE {CHECKPOINT} SET {change} WHERE number = %s", number)
        assert first_violation() == (CHECKPOINT, str(number), invariant)


def test_a_forged_checkpoint_is_named(tampering: Tampering) -> None:
    newest = make_ledger().checkpoint
    with tampering():
        newest.previous, newest.number = digest_of(newest), newest.number + 1
        newest.save(force_insert=True)
        assert first_violation() == (CHECKPOINT, str(newest.number), SIGNED)


def test_a_checkpoint_that_was_taken_out_is_missed(tampering: Tampering) -> None:
    first, second = make_ledger().checkpoint.number, make_ledger().checkpoint.number
    for number in (first, second):
        with tampering():
            sql(f"DELETE FROM {CHECKPOINT} WHERE number = %s", number)
            assert first_violation() == (
                CHECKPOINT,
                str(number),
                "P4 no checkpoint is taken out",
            )


def test_a_checkpoint_that_was_taken_out_with_all_it_kept_is_missed_by_the_log(
    tampering: Tampering,
) -> None:
    number = make_ledger().checkpoint.number
    with tampering():
        sql("DELETE FROM transactions_checkpointhead WHERE checkpoint_id = %s", number)
        sql(f"DELETE FROM {CHECKPOINT} WHERE number = %s", number)
        assert first_violation() == (CHECKPOINT, str(number), "P4 no checkpoint is taken out")


def test_a_checkpoint_signed_anew_differs_from_what_was_written_outside(
    tampering: Tampering,
) -> None:
    """As who has both the database and the key could; the log elsewhere is what is left."""
    checkpoint = make_ledger().checkpoint
    with tampering():
        checkpoint.entry_count += 1
        checkpoint.signature = sign(statement_of(checkpoint)).signature
        assert is_signed(checkpoint)
        checkpoint.save(force_update=True)
        assert first_violation() == (
            CHECKPOINT,
            str(checkpoint.number),
            "P4 checkpoint is the one that was written outside the database",
        )


def test_heads_that_were_taken_from_a_checkpoint_show_by_its_root(tampering: Tampering) -> None:
    ledger = make_ledger()
    with tampering():
        sql("DELETE FROM transactions_checkpointhead WHERE wallet_id = %s", ledger.source.pk)
        assert first_violation() == (
            CHECKPOINT,
            str(ledger.checkpoint.number),
            "P4 root is that of the heads that the checkpoint has seen",
        )


def test_a_sound_ledger_verifies_and_the_next_run_reads_only_what_is_new() -> None:
    make_ledger()
    whole = verify(after_checkpoint=0)
    assert whole.violations == []
    assert whole.extent.entries == LedgerEntry.objects.count()
    payer, payee = make_payer("100.00"), make_payee()
    transfer(instruct(payer, payee, "1.00"))
    new = verify()
    assert (new.violations, new.extent.after) == ([], whole.extent.until)
    # The deposit and the transfer, two entries each; the deposit's other wallet is one of many deposits.
    assert new.extent.entries == 4
    assert Verification.objects.latest("id").is_sound


def test_an_incremental_run_names_what_was_changed_since_the_last(tampering: Tampering) -> None:
    make_ledger()
    verify(after_checkpoint=0)
    payer, payee = make_payer("100.00"), make_payee()
    row = transfer(instruct(payer, payee, "1.00")).transaction
    for signed_since in (False, True):
        if signed_since:
            take_checkpoint()
        with tampering():
            sql(f"UPDATE {TRANSACTION} SET description = 'rent' WHERE id = %s", row.id)
            [first, *_] = verify().violations
            assert (first.table, first.invariant) == (ENTRY, HASHED)
            assert LedgerEntry.objects.get(pk=first.row).transaction_id == row.id


def test_a_verification_that_finds_something_halts_the_postings_once(tampering: Tampering) -> None:
    ledger = make_ledger()
    with tampering():
        sql(f"UPDATE {ENTRY} SET amount = amount + 1 WHERE id = %s", ledger.middle.pk)
        for _ in range(2):
            assert verify_or_halt(after_checkpoint=0).is_sound is False
        [halt] = LedgerHalt.objects.filter(cleared_at=None)
        assert str(ledger.middle.pk) in halt.reason
        assert not Verification.objects.latest("id").is_sound


def test_a_checkpoint_is_signed_chained_and_written_outside_the_database() -> None:
    first, second = make_ledger().checkpoint, make_ledger().checkpoint
    assert is_signed(second)
    assert (second.number, bytes(second.previous)) == (first.number + 1, digest_of(first))
    assert second.entry_count == LedgerEntry.objects.count()
    assert second.wallet_count == Wallet.objects.filter(last_sequence__gt=0).count()
    assert second.changed_count == CheckpointHead.objects.filter(checkpoint=second).count() == 3
    lines = settings.CHECKPOINT_LOG.read_text().splitlines()
    assert lines[-2:] == [line_of(first), line_of(second)]


def test_no_checkpoint_is_taken_where_nothing_has_moved() -> None:
    newest = make_ledger().checkpoint
    make_payee()
    assert take_checkpoint() is None
    assert Checkpoint.objects.latest("number") == newest


def test_what_a_crash_kept_from_the_log_is_written_with_the_next_checkpoint() -> None:
    first = make_ledger().checkpoint
    settings.CHECKPOINT_LOG.write_text(line_of(first)[:40])
    second = make_ledger().checkpoint
    lines = settings.CHECKPOINT_LOG.read_text().splitlines()
    assert lines[0] == line_of(first)[:40]
    assert lines[-2:] == [line_of(first), line_of(second)]
    assert verify(after_checkpoint=0).is_sound


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM {CHECKPOINT}",
        f"UPDATE {CHECKPOINT} SET entry_count = 0",
        "DELETE FROM transactions_checkpointhead",
        "UPDATE transactions_checkpointhead SET sequence = 1",
        "DELETE FROM transactions_verification",
        "UPDATE transactions_verification SET is_sound = true",
        "DELETE FROM transactions_ledgerhalt",
    ],
)
def test_the_application_cannot_change_evidence(statement: str) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        sql(statement)


def test_the_owner_cannot_change_evidence_either(owner: Any) -> None:
    make_ledger()
    for table in (CHECKPOINT, "transactions_checkpointhead", "transactions_verification"):
        with pytest.raises(psycopg.Error) as refusal, owner.transaction():
            owner.execute(f"DELETE FROM {table}")
        assert refusal.value.diag.constraint_name == "ledger_is_append_only"


def test_the_commands_tell_by_their_exit_status(tampering: Tampering) -> None:
    ledger = make_ledger()
    told = io.StringIO()
    call_command("ledger_verify", "--full", "--json", stdout=told)
    assert json.loads(told.getvalue())["sound"] is True
    with tampering():
        sql(f"UPDATE {ENTRY} SET amount = amount + 1 WHERE id = %s", ledger.middle.pk)
        told, errors = io.StringIO(), io.StringIO()
        with pytest.raises(CommandError) as ended:
            call_command("ledger_verify", "--full", stdout=told, stderr=errors)
        assert ended.value.returncode == 1
        assert f"{ENTRY} {ledger.middle.pk}: " in errors.getvalue()
    with pytest.raises(CommandError) as ended:
        call_command("ledger_verify", "--from-checkpoint", "999999")
    assert ended.value.returncode == 2


def test_the_public_key_is_shown_and_verifies_elsewhere() -> None:
    told = io.StringIO()
    call_command("ledger_checkpoint", "--public-key", stdout=told)
    key_id, key = told.getvalue().split()
    checkpoint = make_ledger().checkpoint
    settings.CHECKPOINT_SIGNING_KEY = base64.b64encode(b"\x07" * 32).decode()
    assert not is_signed(checkpoint)
    settings.CHECKPOINT_PUBLIC_KEYS = [key]
    assert checkpoint.key_id == key_id
    assert is_signed(checkpoint)


def test_the_trial_balance_adds_up_to_zero() -> None:
    make_ledger()
    sums = reconcile()["currencies"]["USD"]
    assert (sums["difference"], sums["held_difference"]) == ("0.00", "0.00")
    assert sums["held"] == sums["open_holds"]["reserved"] != "0.00"
    assert "cash:test" in [wallet["purpose"] for wallet in sums["platform"]]
    told = io.StringIO()
    call_command("ledger_reconcile", stdout=told)
    assert "difference, must be zero" in told.getvalue()


def test_what_is_read_of_a_long_chain_at_a_time_is_bounded(
    monkeypatch: pytest.MonkeyPatch, tampering: Tampering
) -> None:
    ledger = make_ledger()
    for name in ("WALLETS_PER_PART", "ENTRIES_PER_PART", "ROWS_PER_PART"):
        monkeypatch.setattr(f"transactions.selectors.verification.{name}", 2)
    told: list[int] = []

    def tell(what: str, done: int, total: int | None) -> None:
        if what == "entries":
            told.append(done)

    report = verify(after_checkpoint=0, progress=tell)
    assert report.is_sound
    assert report.extent.entries == told[-1] == LedgerEntry.objects.count()
    assert max(b - a for a, b in zip([0, *told], told, strict=False)) <= 2
    with tampering():
        sql(
            f"UPDATE {TRANSACTION} SET description = 'rent' WHERE id = %s",
            ledger.last.transaction_id,
        )
        assert first_violation() == (ENTRY, str(ledger.last.pk), HASHED)


def test_every_transaction_is_read() -> None:
    make_ledger()
    assert verify(after_checkpoint=0).extent.transactions == Transaction.objects.count()


# Of Certificate Transparency's reference implementation: leaves and the roots over the first so many.
_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
_LEAVES += ["606162636465666768696a6b6c6d6e6f"]
_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def test_roots_are_those_of_rfc_6962() -> None:
    import hashlib

    leaves = [hashlib.sha256(b"\0" + bytes.fromhex(text)).digest() for text in _LEAVES]
    for count, root in _ROOTS.items():
        assert merkle_root(leaves[:count]) == (bytes.fromhex(root), count)
