"""What providers' settlement reports say, beside what we know.

Both tables are evidence: a run is never changed, another one supersedes it; of a row only its explanation
is added, once (``payments/sql/reconciliation.sql``).
"""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models

from fintech_core.fields import AmountField, uuid7


class RowOutcome(models.TextChoices):
    """``missing``: we have it, the report does not; ``extra``: the other way round."""

    MATCHED = "matched"
    MISSING = "missing"
    EXTRA = "extra"
    DIFFERING = "differing"


class ReportSource(models.TextChoices):
    PROVIDER = "provider"
    FILE = "file"


class ReconciliationRun(models.Model):
    """One settlement report, of the UTC days ``first_on`` to ``last_on``, and how it compares.

    ``digest`` is the SHA-256 of the file, or of the report's lines as this project writes them.
    ``totals`` are per currency (``payments.services.reconciliation.Totals``).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=40)
    first_on = models.DateField()
    last_on = models.DateField()
    source = models.CharField(max_length=8, choices=ReportSource.choices)
    file_name = models.CharField(max_length=255, blank=True)
    digest = models.BinaryField(max_length=32)
    # Lines of the report, also of the days around that were looked at.
    line_count = models.PositiveIntegerField()
    matched_count = models.PositiveIntegerField()
    missing_count = models.PositiveIntegerField()
    extra_count = models.PositiveIntegerField()
    differing_count = models.PositiveIntegerField()
    totals: "models.JSONField[list[dict[str, str]], list[dict[str, str]]]" = models.JSONField()
    # Whether every row is matched and every posting at the provider's wallets belongs to a payment.
    is_clean = models.BooleanField()
    # The run of the same provider and days that this one replaces.
    supersedes = models.OneToOneField(
        "self", models.PROTECT, null=True, related_name="superseded_by"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(first_on__lte=models.F("last_on")),
                name="reconciled_days_are_in_order",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["provider", "first_on", "last_on"], name="reconciliation_by_days"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.first_on} to {self.last_on}"


class ReconciliationRow(models.Model):
    """What the report says of one payment, refund or payout, and what we know of it.

    Of ``missing`` only our side is there, of ``extra`` only the report's. Amounts are signed: positive
    where money came to the provider. ``reason`` says what differs: amount, currency, reference or state.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(ReconciliationRun, models.PROTECT, related_name="rows", db_index=False)
    outcome = models.CharField(max_length=9, choices=RowOutcome.choices)
    reason = models.CharField(max_length=9, blank=True)
    kind = models.CharField(max_length=7)
    reference = models.CharField(max_length=255, blank=True)
    subject_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    # How many lines of the report these are together.
    line_count = models.PositiveIntegerField(default=0)
    reported_amount = AmountField(null=True)
    reported_fee = AmountField(null=True)
    reported_currency = models.CharField(max_length=3, blank=True)
    settled_at = models.DateTimeField(null=True)
    own_amount = AmountField(null=True)
    own_currency = models.CharField(max_length=3, blank=True)
    own_status = models.CharField(max_length=24, blank=True)
    posted_at = models.DateTimeField(null=True)
    explained_at = models.DateTimeField(null=True)
    explained_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    explanation = models.CharField(max_length=500, blank=True)

    class Meta:
        permissions: ClassVar = [("explain_row", "Can explain rows of reconciliations")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(outcome__in=RowOutcome.values), name="row_outcome_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(explained_at=None, explained_by=None, explanation="")
                | (
                    models.Q(explained_at__isnull=False, explained_by__isnull=False)
                    & ~models.Q(explanation="")
                ),
                name="explained_row_says_by_whom_and_why",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["run", "outcome", "id"], name="rows_by_outcome"),
            models.Index(
                fields=["subject_id", "run"],
                condition=models.Q(subject_id__isnull=False),
                name="rows_about_a_subject",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} {self.kind} {self.reference}"
