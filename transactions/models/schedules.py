"""Transfers that happen later, or again and again."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from fintech_core.fields import AmountField, uuid7
from transactions.models.ledger import Transaction
from wallet.models import Wallet


class ScheduleStatus(models.TextChoices):
    """``active`` has a next run; ``done`` had its last one; ``canceled`` was ended by its owner."""

    ACTIVE = "active"
    DONE = "done"
    CANCELED = "canceled"


class Schedule(models.Model):
    """A transfer to be made at ``start_at``, or at each occurrence of ``rrule`` from then on.

    What is transferred, and when, never changes; the recipient's words are looked up at each run.
    ``idempotency_key`` and ``fingerprint`` are those of the request that made it. ``attempt_at`` is when
    the runner looks at it next: at ``next_run_at``, or later where a try came to nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="schedules", db_index=False
    )
    idempotency_key = models.CharField(max_length=255)
    fingerprint = models.BinaryField(max_length=32)
    to_user_email = models.CharField(max_length=254, blank=True)
    to_phone = models.CharField(max_length=32, blank=True)
    to_wallet = models.ForeignKey(
        Wallet, models.PROTECT, null=True, related_name="+", db_index=False
    )
    from_wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+", db_index=False)
    amount = AmountField()
    currency = models.CharField(max_length=3)
    description = models.CharField(max_length=500, blank=True)
    metadata = models.JSONField(default=dict)
    start_at = models.DateTimeField()
    rrule = models.CharField(max_length=200, blank=True)
    timezone = models.CharField(max_length=64)
    first_run_at = models.DateTimeField()
    request_id = models.CharField(max_length=128, blank=True)
    client_address = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField()

    status = models.CharField(
        max_length=8, choices=ScheduleStatus.choices, default=ScheduleStatus.ACTIVE
    )
    next_run_at = models.DateTimeField(null=True)
    attempt_at = models.DateTimeField(null=True)
    # Tries in a row that came to nothing: each next one waits longer.
    troubles = models.PositiveIntegerField(default=0)
    canceled_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"], name="schedule_key_is_unique_per_owner"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="schedule_moves_an_amount"),
            models.CheckConstraint(
                condition=Q(
                    status=ScheduleStatus.ACTIVE,
                    next_run_at__isnull=False,
                    attempt_at__isnull=False,
                    canceled_at__isnull=True,
                )
                | Q(
                    status=ScheduleStatus.DONE,
                    next_run_at__isnull=True,
                    attempt_at__isnull=True,
                    canceled_at__isnull=True,
                )
                | Q(
                    status=ScheduleStatus.CANCELED,
                    next_run_at__isnull=True,
                    attempt_at__isnull=True,
                    canceled_at__isnull=False,
                ),
                name="only_an_active_schedule_has_a_next_run",
            ),
            models.CheckConstraint(
                condition=Q(to_phone="", to_wallet__isnull=True) & ~Q(to_user_email="")
                | Q(to_user_email="", to_wallet__isnull=True) & ~Q(to_phone="")
                | Q(to_user_email="", to_phone="", to_wallet__isnull=False),
                name="schedule_names_one_recipient",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["owner", "id"], name="schedule_by_owner"),
            models.Index(
                fields=["attempt_at", "id"],
                condition=Q(status=ScheduleStatus.ACTIVE),
                name="schedule_that_is_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.amount} {self.currency} {self.rrule or self.start_at}"


class RunStatus(models.TextChoices):
    """``posted`` and ``declined`` are their transaction's; ``failed`` was refused without a record."""

    POSTED = "posted"
    DECLINED = "declined"
    FAILED = "failed"


class ScheduleRun(models.Model):
    """What became of one occurrence of a schedule; written once, in the commit that moved the money.

    An occurrence is known by its day in the schedule's time zone.
    """

    id = models.BigAutoField(primary_key=True)
    schedule = models.ForeignKey(Schedule, models.PROTECT, related_name="runs", db_index=False)
    occurrence = models.DateField()
    due_at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=RunStatus.choices)
    transaction = models.OneToOneField(
        Transaction, models.PROTECT, null=True, related_name="schedule_run"
    )
    # Why it was declined, or failed.
    code = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["schedule", "occurrence"], name="schedule_runs_once_per_occurrence"
            ),
            models.CheckConstraint(
                condition=Q(status=RunStatus.POSTED, transaction__isnull=False, code="")
                | Q(status=RunStatus.DECLINED, transaction__isnull=False) & ~Q(code="")
                | Q(status=RunStatus.FAILED, transaction__isnull=True) & ~Q(code=""),
                name="run_tells_what_became_of_it",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.occurrence} {self.status} {self.code}".strip()
