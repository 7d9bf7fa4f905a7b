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


class WalletStatus(models.TextChoices):
    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


class Wallet(models.Model):
    """A ledger account: what its entries add up to, in one currency.

    ``balance``, ``last_sequence`` and ``head_hash`` are those of the wallet's last ledger entry and
    change only with entries; PostgreSQL refuses any other write to them, whoever asks. Of ``balance``,
    ``held`` is reserved and the rest is ``available``, which is never below zero in a user's wallet.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # The owner of a primary wallet; null for the platform's.
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

    class Meta:
        permissions: ClassVar = [("freeze_wallet", "Can freeze and unfreeze wallets")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(balance__gte=F("held")) | ~Q(kind=WalletKind.USER),
                name="available_is_never_negative",
            ),
            models.CheckConstraint(condition=Q(held__gte=0), name="held_is_never_negative"),
            models.CheckConstraint(
                condition=Q(kind=WalletKind.USER, user__isnull=False, purpose="")
                | (Q(user__isnull=True) & ~Q(kind=WalletKind.USER) & ~Q(purpose="")),
                name="wallet_is_a_users_or_the_platforms",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=WalletKind.values, status__in=WalletStatus.values),
                name="wallet_kind_and_status_are_known",
            ),
            models.UniqueConstraint(
                fields=["purpose", "currency"],
                condition=~Q(purpose=""),
                name="platform_wallet_is_unique_per_purpose",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.purpose} · {self.name} {self.currency}"

    @property
    def available(self) -> Decimal:
        """What can be spent: ``balance - held``."""
        available: Decimal = self.balance - self.held
        return available

    def money(self, amount: Decimal) -> Money:
        """The amount in this wallet's currency."""
        return Money(amount, self.currency)
