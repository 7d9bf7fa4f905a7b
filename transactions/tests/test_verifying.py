"""Verifying: what a run reads, what it finds, and what it does about that."""

import io
import itertools
import json
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction

from transactions.models import LedgerEntry, LedgerHalt, Transaction, Verification
from transactions.selectors import reconcile
from transactions.services import take_checkpoint, transfer, verify, verify_or_halt
from transactions.tests.factories import instruct, make_payee, make_payer
from transactions.tests.tampering import (
    CHECKPOINT,
    ENTRY,
    HASHED,
    TRANSACTION,
    Tampering,
    make_ledger,
    sql,
)

pytestmark = pytest.mark.usefixtures("evidence")


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
    verify(after_checkpoint=0)
    for name in ("WALLETS_PER_PART", "ENTRIES_PER_PART", "ROWS_PER_PART"):
        monkeypatch.setattr(f"transactions.selectors.verification.{name}", 2)
    ledger, told = make_ledger(), [0]

    def tell(what: str, done: int, total: int | None) -> None:
        if what == "entries":
            told.append(done)

    # Of the whole ledger, which is that of all tests before, this would take long.
    report = verify(progress=tell)
    assert report.is_sound
    assert report.extent.entries == told[-1] > 2
    assert max(b - a for a, b in itertools.pairwise(told)) <= 2
    with tampering():
        sql(
            f"UPDATE {TRANSACTION} SET description = 'rent' WHERE id = %s",
            ledger.last.transaction_id,
        )
        [first, *_] = verify(after_checkpoint=report.extent.after).violations
        assert (first.table, first.row, first.invariant) == (ENTRY, str(ledger.last.pk), HASHED)


def test_every_transaction_is_read() -> None:
    make_ledger()
    assert verify(after_checkpoint=0).extent.transactions == Transaction.objects.count()
