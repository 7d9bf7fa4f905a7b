"""What providers told us, as it came, and what a person must look at."""

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from fintech_core.fields import uuid7


class EventStatus(models.TextChoices):
    """``pending → handled | ignored | parked``, ``parked → pending``. ``ignored`` concerns nothing of
    ours; ``parked`` was tried so often that a person has to look."""

    PENDING = "pending"
    HANDLED = "handled"
    IGNORED = "ignored"
    PARKED = "parked"


class ProviderEvent(models.Model):
    """One event of a provider, stored once before its delivery was answered.

    ``body`` is what was signed, byte for byte; ``happened`` what its provider's adapter read in it. A
    worker acts on the row; ``next_attempt_at`` is when the relay hands it over (again), and a worker
    leaves it alone until ``paused_until``.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=40)
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100)
    body = models.BinaryField()
    digest = models.BinaryField(max_length=32)
    happened: "models.JSONField[dict[str, Any] | None, dict[str, Any] | None]" = models.JSONField(
        null=True
    )
    status = models.CharField(
        max_length=16, choices=EventStatus.choices, default=EventStatus.PENDING
    )
    attempts = models.PositiveIntegerField(default=0)
    # A word for what went wrong the last time.
    failure = models.CharField(max_length=100, blank=True)
    next_attempt_at = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True)
    # By the provider's clock, and by ours.
    created_at = models.DateTimeField()
    received_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["provider", "event_id"], name="provider_event_is_stored_once"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status="pending", next_attempt_at__isnull=False, finished_at=None
                )
                | models.Q(
                    status__in=["handled", "ignored", "parked"],
                    next_attempt_at=None,
                    finished_at__isnull=False,
                ),
                name="pending_provider_event_has_a_next_attempt",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(status="pending"),
                name="provider_events_that_are_due",
            ),
            models.Index(
                fields=["finished_at"],
                condition=models.Q(status__in=["handled", "ignored"]),
                name="provider_events_to_be_pruned",
            ),
        ]
        permissions: ClassVar = [("retry_event", "Can have a parked event tried again")]

    def __str__(self) -> str:
        return f"{self.provider} {self.type} {self.event_id}"


class PaymentIssue(models.Model):
    """Something about money in or out that a person must look at; nothing was moved on account of it.

    ``reference`` is the provider's id of what it is about, ``subject_id`` ours, ``facts`` what was seen.
    One of a kind is open at a time about the same thing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=40)
    provider = models.CharField(max_length=40)
    subject_type = models.CharField(max_length=40, blank=True)
    subject_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(
        null=True, blank=True
    )
    reference = models.CharField(max_length=255, blank=True)
    facts: "models.JSONField[dict[str, Any], dict[str, Any]]" = models.JSONField(default=dict)
    opened_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    resolution = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "provider", "reference", "subject_type", "subject_id"],
                condition=models.Q(resolved_at=None),
                nulls_distinct=False,
                name="one_open_issue_of_a_kind",
            ),
            models.CheckConstraint(
                condition=models.Q(resolved_at=None, resolved_by=None, resolution="")
                | (models.Q(resolved_at__isnull=False) & ~models.Q(resolution="")),
                name="resolved_issue_says_how",
            ),
        ]
        permissions: ClassVar = [("resolve_issue", "Can resolve issues of payments")]

    def __str__(self) -> str:
        return f"{self.kind} {self.provider} {self.reference or self.subject_id or ''}".strip()
