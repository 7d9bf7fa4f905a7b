"""Reading the ledger from end to end, in parts that each take a moment: what of it does not hold.

Everything is judged in PostgreSQL (``sql/verification.sql``); what is in memory here does not grow with
the ledger. Parts are read one after the other while money goes on moving: each is one statement and sees
one moment, and what was posted never changes.
"""

import base64
import binascii
import datetime
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Model, Sum
from django.db.models.functions import Coalesce

from fintech_core.calls import call, stream
from fintech_core.database import allow_statement
from transactions.merkle import merkle_root
from transactions.models import (
    Checkpoint,
    CheckpointHead,
    LedgerEntry,
    LedgerHalt,
    Transaction,
    Verification,
)
from transactions.signatures import digest_of, is_signed, line_of, public_keys
from wallet.models import Hold, Wallet

WALLETS_PER_PART = 1_000
ENTRIES_PER_PART = 10_000
ROWS_PER_PART = 5_000
_PART_SECONDS = 60
_STREAM_SECONDS = 600
_NEVER = uuid.UUID(int=0)
_LAST = uuid.UUID(int=2**128 - 1)
# A transaction's id holds the application's clock, and its commit comes later: so much is read twice.
_OVERLAP = datetime.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Violation:
    """A row that should not be as it is: where, which invariant, what was expected and what was found."""

    table: str
    row: str
    invariant: str
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.table} {self.row}: {self.invariant}: "
            f"expected {self.expected}, found {self.found}"
        )

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(slots=True)
class Extent:
    """What is to be read: everything after one checkpoint, and how much that was."""

    after: int = 0
    entries: int = 0
    transactions: int = 0
    holds: int = 0
    checkpoints: int = 0
    until: int = 0

    @property
    def is_full(self) -> bool:
        return self.after == 0


# Told after each part: what is read, how much of it was, and of how much where that is known.
Progress = Callable[[str, int, int | None], None]


def are_postings_halted() -> bool:
    """Whether money may not move at present."""
    return LedgerHalt.objects.filter(cleared_at=None).exists()


def last_verified_checkpoint() -> int:
    """Up to which checkpoint the ledger was read and found sound; 0 where none was."""
    newest = Verification.objects.filter(is_sound=True).order_by("-until_checkpoint").first()
    return newest.until_checkpoint if newest else 0


def find_violations(extent: Extent, progress: Progress) -> Iterator[Violation]:
    """What does not hold in what ``extent`` asks for, in the order it is found; counts into ``extent``.

    Chains come before checkpoints, so that the first is the row that was changed, not what it broke.
    """
    newest = Checkpoint.objects.order_by("-number").first()
    extent.until = newest.number if newest else 0
    yield from _in_chains(extent, progress)
    yield from _ask("verify_totals")
    yield from _in_transactions(extent, progress)
    yield from _in_holds(extent, progress)
    if extent.is_full:
        yield from _in_strays(progress)
    yield from _in_checkpoints(extent, progress)
    yield from _in_log(extent)


def _ask(function: str, *arguments: Any) -> Iterator[Violation]:
    with transaction.atomic():
        allow_statement(_PART_SECONDS)
        rows = call(function, *arguments)
    for row in rows:
        yield Violation(*("missing" if value is None else value for value in row))


def _in_chains(extent: Extent, progress: Progress) -> Iterator[Violation]:
    total = None
    if extent.is_full:
        total = Wallet.objects.aggregate(n=Coalesce(Sum("last_sequence"), 0))["n"]
    last = _NEVER
    while True:
        with transaction.atomic():
            allow_statement(_PART_SECONDS)
            page = call("wallets_to_verify", extent.after, last, WALLETS_PER_PART)
        if not page:
            return
        last = page[-1][0]
        yield from _ask("verify_wallets", [wallet for wallet, _, _ in page])
        for part in _parts(page):
            yield from _ask("verify_entries", *(list(column) for column in zip(*part, strict=True)))
            extent.entries += sum(until - after for _, after, until in part)
            progress("entries", extent.entries, total)


_Range = tuple[uuid.UUID, int, int]


def _parts(page: list[Any]) -> Iterator[list[_Range]]:
    """Ranges of several wallets' sequences, with at most ``ENTRIES_PER_PART`` entries together."""
    part: list[_Range] = []
    room = ENTRIES_PER_PART
    for wallet, after, until in page:
        while after < until:
            step = min(room, until - after)
            part.append((wallet, after, after + step))
            after += step  # noqa: PLW2901 - a long chain goes on in the next part
            room -= step
            if not room:
                yield part
                part, room = [], ENTRIES_PER_PART
    if part:
        yield part


def _in_transactions(extent: Extent, progress: Progress) -> Iterator[Violation]:
    for after, until, count in _ranges(Transaction, _first_id(extent)):
        yield from _ask("verify_transactions", after, until)
        extent.transactions += count
        progress("transactions", extent.transactions, None)


def _in_holds(extent: Extent, progress: Progress) -> Iterator[Violation]:
    for after, until, count in _ranges(Hold, _first_id(extent)):
        yield from _ask("verify_holds", after, until)
        extent.holds += count
        progress("holds", extent.holds, None)


def _in_strays(progress: Progress) -> Iterator[Violation]:
    newest = LedgerEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    step = 20 * ROWS_PER_PART
    for after in range(0, newest, step):
        yield from _ask("verify_strays", after, after + step)
        progress("entry ids", min(after + step, newest), newest)


def _first_id(extent: Extent) -> uuid.UUID:
    """A UUIDv7 from before the checkpoint: its first 48 bits are milliseconds."""
    if extent.is_full:
        return _NEVER
    moment = Checkpoint.objects.get(number=extent.after).created_at - _OVERLAP
    return uuid.UUID(int=int(moment.timestamp() * 1_000) << 80)


def _ranges(model: type[Model], after: uuid.UUID) -> Iterator[tuple[uuid.UUID, uuid.UUID, int]]:
    """(after, until, rows) over the ids of a table, from ``after`` to the newest."""
    while True:
        ids = (
            model._default_manager.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
        )
        until = next(iter(ids[ROWS_PER_PART - 1 : ROWS_PER_PART]), None)
        if until is None:
            yield after, _LAST, ids.count()
            return
        yield after, until, ROWS_PER_PART
        after = until


def _in_checkpoints(extent: Extent, progress: Progress) -> Iterator[Violation]:
    """Each follows the one before, is signed, and its Merkle root is that of the heads kept with it."""
    before = Checkpoint.objects.filter(number=extent.after).first()
    number = extent.after
    for checkpoint in Checkpoint.objects.filter(number__gt=number).order_by("number").iterator(100):
        number += 1
        yield from _of_statement(checkpoint, before, number)
        yield from _of_heads(checkpoint)
        yield from _of_roots(checkpoint, is_newest=checkpoint.number == extent.until)
        before = checkpoint
        extent.checkpoints += 1
        progress("checkpoints", extent.checkpoints, extent.until - extent.after)
    # What was kept for a checkpoint that is there no more.
    orphan = (
        CheckpointHead.objects.filter(checkpoint_id__gt=number).order_by("checkpoint_id").first()
    )
    if orphan and not Checkpoint.objects.filter(number=orphan.checkpoint_id).exists():
        yield _missing(orphan.checkpoint_id)


def _of_statement(
    checkpoint: Checkpoint, before: Checkpoint | None, number: int
) -> Iterator[Violation]:
    if checkpoint.number != number:
        yield _missing(number)
    previous = digest_of(before) if before else bytes(32)
    if bytes(checkpoint.previous) != previous:
        yield _of_checkpoint(
            checkpoint,
            "P4 checkpoint follows the one before",
            previous.hex(),
            bytes(checkpoint.previous).hex(),
        )
    if public_keys() and not is_signed(checkpoint):
        known = " or ".join(public_keys())
        yield _of_checkpoint(
            checkpoint,
            "P4 checkpoint is signed by a key that we know",
            f"a good signature of {known}",
            f"{bytes(checkpoint.signature).hex()} of {checkpoint.key_id}",
        )


def _of_heads(checkpoint: Checkpoint) -> Iterator[Violation]:
    last = _NEVER
    while True:
        wallets = (
            CheckpointHead.objects.filter(checkpoint=checkpoint, wallet_id__gt=last)
            .order_by("wallet_id")
            .values_list("wallet_id", flat=True)
        )
        until = next(iter(wallets[ROWS_PER_PART - 1 : ROWS_PER_PART]), _LAST)
        yield from _ask("verify_heads", checkpoint.number, last, until)
        if until == _LAST:
            return
        last = until


def _of_roots(checkpoint: Checkpoint, *, is_newest: bool) -> Iterator[Violation]:
    trees = [("changed_leaves", checkpoint.changed_root, checkpoint.changed_count)]
    if is_newest:
        trees.append(("all_leaves", checkpoint.root, checkpoint.wallet_count))
    for function, root, count in trees:
        found = root_of(function, checkpoint.number)
        if found != (bytes(root), count):
            yield _of_checkpoint(
                checkpoint,
                "P4 root is that of the heads that the checkpoint has seen",
                f"{bytes(root).hex()} of {count} wallets",
                f"{found[0].hex()} of {found[1]} wallets",
            )


def root_of(function: str, number: int) -> tuple[bytes, int]:
    """The Merkle root over the heads of a checkpoint (``changed_leaves`` or ``all_leaves``)."""
    with transaction.atomic():
        allow_statement(_STREAM_SECONDS)
        return merkle_root(leaf for (leaf,) in stream(function, number))


def _in_log(extent: Extent) -> Iterator[Violation]:
    """The database still has each checkpoint that was written outside of it, as it was written."""
    for line in log_lines():
        told = number_of(line)
        if told is None or told <= extent.after:
            continue
        checkpoint = Checkpoint.objects.filter(number=told).first()
        if checkpoint is None:
            yield _missing(told)
        elif told <= extent.until and line_of(checkpoint) != line:
            yield _of_checkpoint(
                checkpoint,
                "P4 checkpoint is the one that was written outside the database",
                line,
                line_of(checkpoint),
            )


def log_lines() -> Iterator[str]:
    """What stands in ``CHECKPOINT_LOG``, line by line; nothing where there is none yet."""
    try:
        with settings.CHECKPOINT_LOG.open(encoding="utf-8") as lines:
            for line in lines:
                yield line.rstrip("\n")
    except FileNotFoundError:
        return


def number_of(line: str) -> int | None:
    """The number of the checkpoint in a line; None where a write broke off."""
    try:
        parsed = json.loads(line)
        base64.b64decode(parsed["signature"], validate=True)
        return int(json.loads(parsed["statement"])["number"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


def _of_checkpoint(checkpoint: Checkpoint, invariant: str, expected: str, found: str) -> Violation:
    return Violation("transactions_checkpoint", str(checkpoint.number), invariant, expected, found)


def _missing(number: int) -> Violation:
    return Violation(
        "transactions_checkpoint",
        str(number),
        "P4 no checkpoint is taken out",
        f"checkpoint {number}",
        "missing",
    )
