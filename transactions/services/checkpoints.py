"""Signing where the ledger stands, so that who could rewrite the database cannot rewrite what it said."""

import logging
import os

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Max, Sum
from django.utils import timezone

from fintech_core.calls import call
from fintech_core.database import allow_statement
from fintech_core.sqlstates import constraint_of
from transactions.models import Checkpoint, LedgerEntry
from transactions.selectors import log_lines, number_of, root_of
from transactions.signatures import digest_of, line_of, sign, statement_of
from wallet.models import Wallet

logger = logging.getLogger(__name__)

_SECONDS = 180
# A twin that was quicker has kept the same heads, or taken the same number.
_TAKEN = {"head_is_unique_per_wallet_and_sequence", "transactions_checkpoint_pkey"}


def take_checkpoint() -> Checkpoint | None:
    """Fold all chain heads into a signed checkpoint; None when no wallet moved since the last one.

    All heads are those of one moment (one snapshot); no row is locked, and postings go on. It is written
    to the database, then to ``CHECKPOINT_LOG`` and the log. Without a key: ``ImproperlyConfigured``.
    """
    try:
        checkpoint = _fold()
    except IntegrityError as error:
        if constraint_of(error) not in _TAKEN:
            raise
        return None
    _write_to_log()
    if checkpoint is not None:
        logger.info("checkpoint_signed", extra={"checkpoint": line_of(checkpoint)})
    return checkpoint


@transaction.atomic(durable=True)
def _fold() -> Checkpoint | None:
    with connection.cursor() as cursor:
        # Every statement of this transaction sees the same moment.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    allow_statement(_SECONDS)
    newest = Checkpoint.objects.order_by("-number").first()
    number = newest.number + 1 if newest else 1
    [(changed,)] = call("keep_changed_heads", number)
    if not changed:
        return None
    changed_root, changed_count = root_of("changed_leaves", number)
    root, wallet_count = root_of("all_leaves", number)
    checkpoint = Checkpoint(
        number=number,
        created_at=timezone.now(),
        previous=digest_of(newest) if newest else bytes(32),
        root=root,
        wallet_count=wallet_count,
        changed_root=changed_root,
        changed_count=changed_count,
        entry_count=Wallet.objects.aggregate(n=Sum("last_sequence"))["n"],
        last_entry_id=LedgerEntry.objects.aggregate(n=Max("id"))["n"],
    )
    signed = sign(statement_of(checkpoint))
    checkpoint.key_id, checkpoint.signature = signed.key_id, signed.signature
    checkpoint.save(force_insert=True)
    return checkpoint


def _write_to_log() -> None:
    """Append what ``CHECKPOINT_LOG`` does not have yet: also what a crash kept from it the last time."""
    written = 0
    for line in log_lines():
        written = max(written, number_of(line) or 0)
    lines = [
        line_of(checkpoint)
        for checkpoint in Checkpoint.objects.filter(number__gt=written).order_by("number")
    ]
    if not lines:
        return
    settings.CHECKPOINT_LOG.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.CHECKPOINT_LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    with os.fdopen(descriptor, "r+b", buffering=0) as log:
        size = log.seek(0, os.SEEK_END)
        is_broken_off = size and os.pread(descriptor, 1, size - 1) != b"\n"
        text = "".join(f"{line}\n" for line in lines)
        log.write(("\n" * bool(is_broken_off) + text).encode())
        os.fsync(descriptor)
