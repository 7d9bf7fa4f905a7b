"""Money moving: transactions and the ledger entries they are made of.

Both are written by ``transactions.ledger`` alone and never change. What PostgreSQL refuses beyond the
constraints here stands in ``transactions/sql/ledger.sql``.
"""

import base64
import uuid
from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from fintech_core.fields import AmountField, uuid7
from wallet.models import HoldStatus, Wallet


class TransactionKind(models.TextChoices):
    TRANSFER = "transfer"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    REFUND = "refund"
    REVERSAL = "reversal"
    CONVERSION = "conversion"
    FEE = "fee"
    ADJUSTMENT = "adjustment"


class TransactionStatus(models.TextChoices):
    """What a transaction did; as it is stored, and never changed.

    ``posted`` has moved money; ``declined`` is a refusal kept for its idempotency key; ``pending`` has
    opened a hold; ``voided`` and ``expired`` have ended one, their ``parent``. What became of a pending
    one is told by its hold (``SHOWN_STATUS``).
    """

    POSTED = "posted"
    DECLINED = "declined"
    PENDING = "pending"
    VOIDED = "voided"
    EXPIRED = "expired"


# What a pending transaction is shown as, by what became of its hold.
SHOWN_STATUS: dict[str, TransactionStatus] = {
    HoldStatus.OPEN: TransactionStatus.PENDING,
    HoldStatus.CAPTURED: TransactionStatus.POSTED,
    HoldStatus.VOIDED: TransactionStatus.VOIDED,
    HoldStatus.EXPIRED: TransactionStatus.EXPIRED,
}

# What gives money of its parent back.
GIVES_BACK = (TransactionKind.REVERSAL, TransactionKind.REFUND)


class Transaction(models.Model):
    """One movement of money, or the recorded refusal of one; its own audit and idempotency record.

    It says who asked, from where and in which request. ``idempotency_key`` belongs to ``initiated_by``
    (null: the platform itself) and to the request whose SHA-256 ``fingerprint`` is: PostgreSQL keeps
    the pair unique for ever.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=12, choices=TransactionKind.choices)
    status = models.CharField(max_length=8, choices=TransactionStatus.choices)
    amount = AmountField()
    currency = models.CharField(max_length=3)
    # What it costs the payer beyond ``amount``, in the same currency.
    fee = AmountField(default=Decimal(0))
    # What reaches the target of a conversion; null where that is ``amount``.
    to_amount = AmountField(null=True)
    to_currency = models.CharField(max_length=3, blank=True)
    # References are checked by statement, not by row (docs/decisions/0011): ``db_constraint=False``.
    from_wallet = models.ForeignKey(
        Wallet, models.PROTECT, related_name="outgoing", db_index=False, db_constraint=False
    )
    to_wallet = models.ForeignKey(
        Wallet, models.PROTECT, related_name="incoming", db_index=False, db_constraint=False
    )
    # The hold that it captures or ends, or the transaction that it gives back.
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        related_name="children",
        db_index=False,
        db_constraint=False,
    )
    initiated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    # A caller's has no blank; what the platform derives from one has (``scope`` of instructions.py).
    idempotency_key = models.CharField(max_length=360)
    fingerprint = models.BinaryField(max_length=32)
    description = models.CharField(max_length=500, blank=True)
    metadata = models.JSONField(default=dict)
    decline_code = models.CharField(max_length=40, blank=True)
    # What the answer told beyond this row, so that a retry is told the same.
    facts = models.JSONField(null=True)
    request_id = models.CharField(max_length=128, blank=True)
    client_address = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField()
    # How the hashes of its entries are made: 1 is SQL's ledger_leaf(), 2 is ``transactions.hashing``.
    hash_scheme = models.SmallIntegerField(default=2, db_default=2)

    class Meta:
        permissions: ClassVar = [
            ("capture_hold", "Can capture holds of others"),
            ("void_hold", "Can void holds of others"),
            ("reverse_transaction", "Can reverse transfers of others"),
        ]
        # What a row alone must fulfil is checked by ``transactions_are_whole()`` (sql/rows.sql): a CHECK
        # is compiled for each statement, which took longer than to write a transfer.
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["initiated_by", "idempotency_key"],
                name="idempotency_key_is_unique_per_caller",
                nulls_distinct=False,
            ),
        ]
        indexes: ClassVar = [
            # A history, newest first. A decline is the payer's alone, and nobody can fill another's list
            # with declines.
            models.Index(
                fields=["from_wallet", "created_at", "id"], name="sent_by_wallet_and_time"
            ),
            models.Index(
                fields=["to_wallet", "created_at", "id"],
                condition=~Q(status="declined"),
                name="received_by_wallet_and_time",
            ),
            models.Index(
                fields=["parent", "id"],
                condition=Q(parent__isnull=False),
                name="transaction_by_parent",
            ),
            # Holds are few among the transactions of a wallet; lists of them by status start here.
            models.Index(
                fields=["from_wallet", "id"],
                condition=Q(status=TransactionStatus.PENDING),
                name="pending_by_source",
            ),
            models.Index(
                fields=["to_wallet", "id"],
                condition=Q(status=TransactionStatus.PENDING),
                name="pending_by_target",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.status} {self.amount} {self.currency} {self.reference}"

    @property
    def reference(self) -> str:
        """A short unique word for people and bank statements, made from the id."""
        return reference_of(self.id)


def reference_of(transaction_id: uuid.UUID) -> str:
    """``TX-`` and the id in base 32 (RFC 4648, 26 characters); unique because the id is."""
    return "TX-" + base64.b32encode(transaction_id.bytes).decode().rstrip("=")


class LedgerEntry(models.Model):
    """One leg of a posted transaction: what it added to one wallet, and the balance after it.

    Entries of a wallet are numbered from 1 without gaps, and each ``hash`` covers the entry before it,
    so the chain of a wallet cannot be edited in the middle. Insert-only.
    """

    id = models.BigAutoField(primary_key=True)
    transaction = models.ForeignKey(
        Transaction, models.PROTECT, related_name="entries", db_index=False, db_constraint=False
    )
    # 1 is what leaves ``from_wallet``, 2 what reaches ``to_wallet``; the others are the platform's.
    leg = models.SmallIntegerField()
    wallet = models.ForeignKey(
        Wallet, models.PROTECT, related_name="entries", db_index=False, db_constraint=False
    )
    sequence = models.BigIntegerField()
    amount = AmountField()
    currency = models.CharField(max_length=3)
    balance_after = AmountField()
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["wallet", "sequence"], name="sequence_is_unique_per_wallet"
            ),
            models.UniqueConstraint(
                fields=["transaction", "leg"], name="leg_is_unique_per_transaction"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} #{self.sequence} of {self.wallet_id}"


class LedgerHalt(models.Model):
    """Postings are stopped, because the books were found not to agree, until an operator clears it."""

    reason = models.TextField()
    raised_at = models.DateTimeField(auto_now_add=True)
    cleared_at = models.DateTimeField(null=True)
    cleared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    cleared_because = models.TextField(blank=True)

    class Meta:
        permissions: ClassVar = [("clear_halt", "Can let postings go on after the books disagreed")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["cleared_at"],
                condition=Q(cleared_at__isnull=True),
                nulls_distinct=False,
                name="one_halt_stands_at_a_time",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["id"], condition=Q(cleared_at__isnull=True), name="halt_that_stands"
            )
        ]

    def __str__(self) -> str:
        return f"{self.raised_at:%Y-%m-%d %H:%M} {self.reason}"
