"""Evidence: what the ledger was at a moment, signed by a key that the database does not hold.

All three tables are append-only, for everybody (``transactions/sql/verification.sql``).
"""

from typing import ClassVar

from django.db import models

from wallet.models import Wallet


class Checkpoint(models.Model):
    """All chain heads at one moment, folded into one Merkle root (RFC 6962), signed by Ed25519.

    ``root`` is over the heads of all wallets that have entries, ``changed_root`` over those that moved
    since the checkpoint before, both in the order of wallet ids. ``previous`` is the SHA-256 of the
    statement of the checkpoint before (``transactions.signatures``): so none can be taken out.
    """

    number = models.BigIntegerField(primary_key=True)
    created_at = models.DateTimeField()
    previous = models.BinaryField(max_length=32)
    root = models.BinaryField(max_length=32)
    wallet_count = models.BigIntegerField()
    changed_root = models.BinaryField(max_length=32)
    changed_count = models.BigIntegerField()
    # Where the ledger stood: how many entries the heads cover, and the newest id seen. An entry whose
    # commit was under way then may have a lower id, and is covered by the next checkpoint.
    entry_count = models.BigIntegerField()
    last_entry_id = models.BigIntegerField()
    key_id = models.CharField(max_length=16)
    signature = models.BinaryField(max_length=64)

    def __str__(self) -> str:
        return f"#{self.number} {bytes(self.root).hex()[:16]}"


class CheckpointHead(models.Model):
    """Where a wallet's chain stood at a checkpoint; kept for the wallets that moved since the last one.

    ``leaf`` is what the Merkle trees are made of: it covers the head, the balance and whose wallet it is.
    """

    id = models.BigAutoField(primary_key=True)
    checkpoint = models.ForeignKey(
        Checkpoint, models.PROTECT, related_name="heads", db_index=False, db_constraint=False
    )
    wallet = models.ForeignKey(
        Wallet, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    sequence = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)
    leaf = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["wallet", "sequence"], name="head_is_unique_per_wallet_and_sequence"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["checkpoint", "wallet"], name="head_by_checkpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.wallet_id} #{self.sequence}"


class Verification(models.Model):
    """One run of ``ledger_verify`` to its end, and what it found.

    A later one may begin at ``until_checkpoint`` of the last that was sound: what is before was read.
    """

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(auto_now_add=True)
    is_full = models.BooleanField()
    after_checkpoint = models.BigIntegerField()
    until_checkpoint = models.BigIntegerField()
    entry_count = models.BigIntegerField()
    is_sound = models.BooleanField()
    # The first broken row: table, row, invariant, expected, found.
    violation = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {'sound' if self.is_sound else 'broken'}"
