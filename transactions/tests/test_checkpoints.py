"""Checkpoints: what is signed, chained and kept outside shows what was edited, forged or taken out."""

import base64
import io

import pytest
from django.conf import settings
from django.core.management import call_command

from transactions.merkle import merkle_root
from transactions.models import Checkpoint, CheckpointHead, LedgerEntry
from transactions.services import take_checkpoint, verify
from transactions.signatures import digest_of, is_signed, line_of, sign, statement_of
from transactions.tests.factories import make_payee
from transactions.tests.tampering import CHECKPOINT, Tampering, first_violation, make_ledger, sql
from wallet.models import Wallet

pytestmark = pytest.mark.usefixtures("evidence")

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
