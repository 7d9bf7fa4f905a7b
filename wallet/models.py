"""What is held: a wallet is a ledger account of one currency."""

import datetime
from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from fintech_core.fields import AmountField, uuid7
from fintech_core.money import Money


class WalletKind(models.TextChoices):
    """Whose money a wallet holds; all kinds but ``user`` are the platform's and may go below zero."""

    USER = "user", "a user's"
    CASH = "cash", "cash at a provider"
    FEES = "fees", "fees earned"
    SUSPENSE = "suspense", "not yet attributed"
    EXCHANGE = "exchange", "bought and sold in conversions"
    ROUNDING = "rounding", "left over by rounding"


class WalletStatus(models.TextChoices):
    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


class Wallet(models.Model):
    """A ledger account: what its entries add up to, in one currency.

    ``balance``, ``last_sequence`` and ``head_hash`` are those of the wallet's last ledger entry and
    change only with entries; PostgreSQL refuses any other write to them, whoever asks. Of ``balance``,
    ``held`` is reserved by open holds and the rest is ``available``, which in a user's wallet is never
    below zero, or below what its overdraft limit allows.

    A user's limits in one currency are counted at one wallet of that currency, the first: the others
    name it as ``limits_wallet``, and whoever moves one of them holds the lock of that one, too.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Whose it is; null for the platform's.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="wallets",
        editable=False,
    )
    # The owner again, in the one wallet that is theirs from the start.
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="wallet",
        editable=False,
    )
    kind = models.CharField(
        max_length=12, choices=WalletKind.choices, default=WalletKind.USER, editable=False
    )
    # What a platform wallet is for, such as ``cash:demo``; empty for a user's.
    purpose = models.CharField(max_length=60, blank=True, editable=False)
    name = models.CharField(max_length=60, default="Main", blank=True)
    currency = models.CharField(max_length=3, editable=False)
    status = models.CharField(
        max_length=8, choices=WalletStatus.choices, default=WalletStatus.ACTIVE, editable=False
    )
    status_reason = models.CharField(max_length=500, blank=True, editable=False)
    limits_wallet = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="pots",
        editable=False,
    )
    # How far below zero ``available`` may go; null where that was never allowed.
    overdraft_limit = AmountField(null=True, editable=False)

    balance = AmountField(default=Decimal(0), editable=False)
    held = AmountField(default=Decimal(0), editable=False)
    last_sequence = models.BigIntegerField(default=0, editable=False)
    head_hash = models.BinaryField(default=b"", editable=False)
    # When the newest entry was made; a later one is never dated before it, whatever the clock says.
    last_entry_at = models.DateTimeField(null=True, editable=False)

    # What left since the start of the UTC day ``spent_on`` and of its month; limits are judged by it.
    spent_on = models.DateField(default=datetime.date(1970, 1, 1), editable=False)
    spent_in_day = AmountField(default=Decimal(0), editable=False)
    spent_in_month = AmountField(default=Decimal(0), editable=False)

    created_at = models.DateTimeField(auto_now_add=True)

    # Annotations of ``wallet.selectors``: what of ``held`` no hold reserves any more, and as of when.
    overdue: Decimal
    read_at: datetime.datetime

    class Meta:
        permissions: ClassVar = [
            ("freeze_wallet", "Can freeze and unfreeze wallets"),
            ("set_overdraft", "Can set how far below zero a wallet may go"),
        ]
        # What a row alone must fulfil is checked by ``wallets_start_empty()`` and
        # ``wallets_follow_the_ledger()`` (transactions/sql/rows.sql), as the ledger's rows are.
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "currency"],
                condition=Q(limits_wallet__isnull=True, owner__isnull=False),
                name="limits_are_counted_once_per_owner_and_currency",
            ),
            models.UniqueConstraint(
                fields=["purpose", "currency"],
                condition=~Q(purpose=""),
                name="platform_wallet_is_unique_per_purpose",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner or self.purpose} · {self.name} {self.currency}"

    @property
    def available(self) -> Decimal:
        """What can be spent: ``balance - held``, as the row stands."""
        available: Decimal = self.balance - self.held
        return available

    @property
    def truly_held(self) -> Decimal:
        """What open holds reserve at this moment, swept or not; of a wallet that a selector read."""
        held: Decimal = self.held - self.overdue
        return held

    def money(self, amount: Decimal) -> Money:
        """The amount in this wallet's currency."""
        return Money(amount, self.currency)


class HoldStatus(models.TextChoices):
    """``open`` reserves money; the others say how it ended and never change again."""

    OPEN = "open"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


class Hold(models.Model):
    """Money of a wallet that is reserved for a pending transaction, whose id it shares.

    Of ``amount`` and its ``fee``, parts are captured (they left the wallet) until the rest is released:
    by a final capture, a void or an expiry. Written by ``transactions.ledger`` alone; PostgreSQL keeps
    ``Wallet.held`` equal to what the open holds still reserve, and ``captured_amount`` to what the
    captures posted (``transactions/sql/ledger_rules.sql``). An open hold past ``expires_at`` reserves
    nothing any more, whether or not it was swept yet.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="holds", db_index=False)
    status = models.CharField(max_length=8, choices=HoldStatus.choices)
    amount = AmountField()
    fee = AmountField()
    currency = models.CharField(max_length=3)
    captured_amount = AmountField()
    captured_fee = AmountField()
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, fee__gte=0)
                & Q(captured_amount__gte=0, captured_amount__lte=F("amount"))
                & Q(captured_fee__gte=0, captured_fee__lte=F("fee")),
                name="no_more_is_captured_than_is_held",
            ),
            models.CheckConstraint(
                condition=Q(status=HoldStatus.OPEN, closed_at__isnull=True)
                | Q(
                    status__in=[HoldStatus.CAPTURED, HoldStatus.VOIDED, HoldStatus.EXPIRED],
                    closed_at__isnull=False,
                ),
                name="hold_is_open_or_closed_at_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["wallet", "expires_at"],
                condition=Q(status=HoldStatus.OPEN),
                name="open_hold_by_wallet",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(status=HoldStatus.OPEN),
                name="open_hold_by_expiry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.amount} {self.currency}"
