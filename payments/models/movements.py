"""Money that enters or leaves through a provider: intents, refunds of them, payouts.

Each is a state machine. Rows change only under their lock, by a step of ``payments.services.steps``;
PostgreSQL refuses every other, and a status whose money is not where it says (``sql/movements.sql``).
"""

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from fintech_core.fields import AmountField, uuid7
from fintech_core.money import Money
from transactions.models import Transaction
from wallet.models import Wallet


class IntentStatus(models.TextChoices):
    """``succeeded`` and ``canceled`` are the last word; ``failed`` is it until the provider takes
    it back."""

    REQUIRES_CONFIRMATION = "requires_confirmation"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class RefundStatus(models.TextChoices):
    """The money has left the wallet from ``pending`` on; with ``failed`` it is back."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class PayoutStatus(models.TextChoices):
    """The money is held while ``pending`` or ``in_transit``, gone with ``paid``, given back else."""

    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"
    CANCELED = "canceled"


class Owed(models.TextChoices):
    """Money that a provider's word brings and its wallet could not take yet: what an intent credits, or
    what a refund or payout gives back."""

    CREDIT = "credit"
    RETURN = "return"


class Movement(models.Model):
    """What intents, refunds and payouts have in common.

    ``provider_reference`` is the provider's id, empty until it has told one. ``next_attempt_at`` is
    when the relay hands the row to a worker next, null where nothing is due; ``attempts`` counts
    the looks at it since its last step, each next pause being longer. ``announced`` numbers its events.
    ``owed`` is empty but while its wallet refuses what has come: until the next step.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=40)
    provider_reference = models.CharField(max_length=255, blank=True)
    amount = AmountField()
    currency = models.CharField(max_length=3)
    # Why it failed, in a word of the provider's.
    failure_code = models.CharField(max_length=100, blank=True)
    next_attempt_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    announced = models.PositiveIntegerField(default=0)
    owed = models.CharField(max_length=8, choices=Owed.choices, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    # Each has its own statuses.
    status: "models.CharField[str, str]"

    class Meta:
        abstract = True

    @property
    def money(self) -> Money:
        """The amount in its currency."""
        return Money(self.amount, self.currency)


class PaymentIntent(Movement):
    """A user's wish to bring money in; credited to ``wallet`` exactly once, when its provider says so.

    ``transaction`` is the deposit, there exactly with ``succeeded``. ``refunded_amount`` counts the
    refunds that have not failed. ``idempotency_key`` and ``fingerprint`` are those of the request.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="payment_intents", db_index=False
    )
    wallet = models.ForeignKey(
        Wallet, models.PROTECT, related_name="payment_intents", db_index=False
    )
    status = models.CharField(
        max_length=24, choices=IntentStatus.choices, default=IntentStatus.REQUIRES_CONFIRMATION
    )
    # What lets the payer's browser pay at the provider: not the public's, and in no event and no log.
    client_secret = models.CharField(max_length=500, blank=True)
    checkout_url = models.CharField(max_length=2000, blank=True)
    idempotency_key = models.CharField(max_length=255)
    fingerprint = models.BinaryField(max_length=32)
    transaction = models.OneToOneField(
        Transaction, models.PROTECT, null=True, related_name="payment_intent"
    )
    refunded_amount = AmountField(default=Decimal(0))
    # When the caller let it happen: a confirmation that was lost is sent again.
    confirmed_at = models.DateTimeField(null=True)
    request_id = models.CharField(max_length=128, blank=True)
    client_address = models.GenericIPAddressField(null=True)

    class Meta:
        permissions: ClassVar = [("ask_provider", "Can have providers asked again")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "idempotency_key"], name="intent_key_is_unique_per_user"
            ),
            models.UniqueConstraint(
                fields=["provider", "provider_reference"],
                condition=~Q(provider_reference=""),
                name="intent_of_a_provider_is_known_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=IntentStatus.values), name="intent_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status=IntentStatus.SUCCEEDED, transaction__isnull=False)
                | Q(~Q(status=IntentStatus.SUCCEEDED), transaction__isnull=True),
                name="intent_is_credited_exactly_when_it_succeeded",
            ),
            models.CheckConstraint(
                condition=Q(amount__gt=0)
                & Q(refunded_amount__gte=0, refunded_amount__lte=F("amount")),
                name="no_more_is_refunded_than_was_paid",
            ),
            models.CheckConstraint(
                condition=Q(refunded_amount=0) | Q(status=IntentStatus.SUCCEEDED),
                name="only_what_was_paid_is_refunded",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "id"], name="intent_by_user"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="intents_that_are_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.money} {self.currency} by {self.provider}"


class Refund(Movement):
    """A part of a succeeded intent that goes back to who paid it.

    ``transaction`` took it out of the wallet when the refund was made; ``return_transaction``
    brought it back, there exactly with ``failed``.
    """

    intent = models.ForeignKey(
        PaymentIntent, models.PROTECT, related_name="refunds", db_index=False
    )
    status = models.CharField(
        max_length=16, choices=RefundStatus.choices, default=RefundStatus.PENDING
    )
    transaction = models.OneToOneField(Transaction, models.PROTECT, related_name="payment_refund")
    return_transaction = models.OneToOneField(
        Transaction, models.PROTECT, null=True, related_name="failed_payment_refund"
    )

    class Meta:
        permissions: ClassVar = [("refund_payment", "Can refund payments of others")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["provider", "provider_reference"],
                condition=~Q(provider_reference=""),
                name="refund_of_a_provider_is_known_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=RefundStatus.values), name="refund_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status=RefundStatus.FAILED, return_transaction__isnull=False)
                | Q(~Q(status=RefundStatus.FAILED), return_transaction__isnull=True),
                name="refund_is_returned_exactly_when_it_failed",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_has_an_amount"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["intent", "id"], name="refund_by_intent"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="refunds_that_are_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.money} {self.currency} of {self.intent_id}"


class Payout(Movement):
    """A user's wish to send money out, to a ``destination`` that its provider understands.

    ``transaction`` is the pending withdrawal whose hold reserves the amount: captured with ``paid``,
    voided with ``failed`` and ``canceled``. Its key and fingerprint are those of the request. A
    payout that came back after it was paid is ``failed``, too, and ``return_transaction`` gave its
    money back.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="payouts", db_index=False
    )
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="payouts", db_index=False)
    destination = models.CharField(max_length=255)
    status = models.CharField(
        max_length=16, choices=PayoutStatus.choices, default=PayoutStatus.PENDING
    )
    transaction = models.OneToOneField(Transaction, models.PROTECT, related_name="payout")
    return_transaction = models.OneToOneField(
        Transaction, models.PROTECT, null=True, related_name="returned_payout"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["provider", "provider_reference"],
                condition=~Q(provider_reference=""),
                name="payout_of_a_provider_is_known_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=PayoutStatus.values), name="payout_status_is_known"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payout_has_an_amount"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "id"], name="payout_by_user"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="payouts_that_are_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.money} {self.currency} by {self.provider}"


# What each is called in events, issues and the audit trail.
SUBJECT_NAMES: dict[type[Movement], str] = {
    PaymentIntent: "payment_intent",
    Refund: "refund",
    Payout: "payout",
}
