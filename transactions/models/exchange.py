"""What currencies are worth, and what was promised to whom for how long."""

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from fintech_core.fields import AmountField, uuid7
from wallet.models import Wallet

LOWEST_RATE, HIGHEST_RATE = Decimal("0.000001"), Decimal(1_000_000)


class ExchangeRate(models.Model):
    """So much of ``quote`` was worth one ``base``, in the middle between buying and selling.

    A pair is kept in one direction only, its codes in alphabetical order: the other one is its inverse,
    so that the two can never disagree. Append-only: a new rate takes effect by its ``as_of``.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    base = models.CharField(max_length=3)
    quote = models.CharField(max_length=3)
    rate = models.DecimalField(max_digits=19, decimal_places=12)
    as_of = models.DateTimeField()
    # Who says so: a bank's daily fixing, an operator.
    source = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(base__lt=F("quote")), name="rate_is_in_its_one_direction"
            ),
            models.CheckConstraint(
                condition=Q(rate__gte=LOWEST_RATE, rate__lte=HIGHEST_RATE), name="rate_is_plausible"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["base", "quote", "-as_of", "-id"], name="newest_rate_of_a_pair")
        ]

    def __str__(self) -> str:
        return f"{self.base}/{self.quote} {self.rate.normalize():f} ({self.source})"


class Quote(models.Model):
    """What converting an amount between two wallets will bring and cost, until it expires.

    It serves one conversion, its ``transaction``, and never changes otherwise.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    from_wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+", db_index=False)
    to_wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+", db_index=False)
    amount = AmountField()
    currency = models.CharField(max_length=3)
    to_amount = AmountField()
    to_currency = models.CharField(max_length=3)
    rate = models.DecimalField(max_digits=31, decimal_places=24)
    fee = AmountField()
    # What the provider said, and when, before the spread was taken off.
    rate_source = models.CharField(max_length=60)
    rate_as_of = models.DateTimeField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    transaction = models.OneToOneField(
        "transactions.Transaction",
        models.PROTECT,
        null=True,
        related_name="+",
        db_constraint=False,
        editable=False,
    )

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} → {self.to_amount} {self.to_currency}"
