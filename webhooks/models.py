"""Who is told, of what, and what became of it: endpoints, kept events, deliveries and their tries."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from fintech_core.fields import uuid7

# Whatever is announced; an endpoint's filter names some of them, or "*".
EVENT_TYPES = (
    *("transaction.posted", "transaction.pending", "transaction.declined", "transaction.voided"),
    *("transaction.expired", "payment_intent.succeeded", "payment_intent.failed", "payout.paid"),
    *("payout.failed", "kyc.approved", "kyc.rejected", "wallet.frozen"),
)
EVERY_TYPE = "*"


class EndpointStatus(models.TextChoices):
    """A deleted one is kept, without its secrets, as long as its deliveries are."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


class DisabledBecause(models.TextChoices):
    BY_OWNER = "by_owner", "its owner switched it off"
    GONE = "gone", "it answered 410"
    FAILING = "failing", "for days no try succeeded"


class Endpoint(models.Model):
    """A URL that is told of events, and how its receiver has been doing.

    What is handed out for it at once, and when the next look at its deliveries is due, is decided under
    the lock of this row (``webhooks/sql/hand_out.sql``).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Whose events it hears of; null for one of the platform, which hears of everybody's.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="webhook_endpoints",
        db_index=False,
    )
    url = models.CharField(max_length=2048)
    description = models.CharField(max_length=500, blank=True)
    # Types, or "*" alone.
    events: "models.JSONField[list[str], list[str]]" = models.JSONField()
    status = models.CharField(
        max_length=8, choices=EndpointStatus.choices, default=EndpointStatus.ENABLED
    )
    reason = models.CharField(max_length=8, choices=DisabledBecause.choices, blank=True)

    # Encrypted (webhooks/sealing.py). The previous one signs, too, until it expires.
    secret = models.TextField()
    previous_secret = models.TextField(blank=True)
    previous_expires_at = models.DateTimeField(null=True)

    # Since when no try has succeeded, and how many have failed in a row; null and 0 where the last did.
    failing_since: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(
        null=True
    )
    failures = models.PositiveIntegerField(default=0)
    # Whether its last answer took long, and whether it has ever answered well.
    is_slow = models.BooleanField(default=False)
    has_succeeded = models.BooleanField(default=False)
    # Nothing is sent to it before this: it asked for patience, or fails.
    resume_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(
        null=True
    )
    # When there may be something to hand out; null where nothing is pending.
    due_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(
        null=True
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        permissions: ClassVar = [
            ("manage_platform_endpoints", "Can manage endpoints that hear of everybody's events")
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=EndpointStatus.values),
                name="endpoint_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(failing_since__isnull=True, failures=0)
                | Q(failing_since__isnull=False, failures__gt=0),
                name="failing_exactly_with_failures",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["owner", "id"], name="endpoint_by_owner"),
            models.Index(
                fields=["due_at"],
                condition=Q(status=EndpointStatus.ENABLED, due_at__isnull=False),
                name="endpoint_that_is_due",
            ),
            models.Index(
                fields=["id"],
                condition=Q(status=EndpointStatus.ENABLED, owner__isnull=True),
                name="platform_endpoint",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.url} ({self.status})"

    @property
    def is_platform(self) -> bool:
        return self.owner_id is None

    def wants(self, event_type: str) -> bool:
        """Whether its filter lets this type through."""
        return EVERY_TYPE in self.events or event_type in self.events


class WebhookEvent(models.Model):
    """What one owner (null: the platform) is told of one announcement, in the very bytes that are sent.

    Its id is the ``webhook-id``, the same for each endpoint and each try. Insert-only.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    announcement_id = models.UUIDField()
    owner_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    type = models.CharField(max_length=40)
    subject_id = models.UUIDField()
    sequence = models.IntegerField()
    body = models.TextField()
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["announcement_id", "owner_id"],
                name="an_announcement_is_one_event_per_owner",
                nulls_distinct=False,
            )
        ]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="event_by_age")]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class UntoldAnnouncement(models.Model):
    """An announcement that could not be told: our bug, and nobody else's wait.

    What stood in the outbox is kept, and goes back there each hour: once the bug is mended, it is told.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    type = models.CharField(max_length=40)
    owner_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    subject_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    sequence: "models.IntegerField[int | None, int | None]" = models.IntegerField(null=True)
    data: "models.JSONField[dict[str, Any] | None, dict[str, Any] | None]" = models.JSONField(
        null=True
    )
    created_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(
        null=True
    )
    trouble = models.CharField(max_length=200)
    noted_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class DeliveryStatus(models.TextChoices):
    """``parked`` was given up because its endpoint was disabled, ``dead`` because no try succeeded."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    PARKED = "parked"


class Delivery(models.Model):
    """One event on its way to one endpoint.

    While it is handed out, ``handed_until`` is its lease: whoever holds it is believed to be at work
    until then. ``claim`` names the one try that is being made.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.ForeignKey(
        WebhookEvent, models.CASCADE, related_name="deliveries", db_index=False
    )
    endpoint = models.ForeignKey(
        Endpoint, models.PROTECT, related_name="deliveries", db_index=False
    )
    # Of the endpoint and the event again: lists are filtered by them.
    owner_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    event_type = models.CharField(max_length=40)
    status = models.CharField(
        max_length=9, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING
    )
    # Tries that count for the pause before the next one; a redelivery begins anew.
    tries = models.PositiveIntegerField(default=0)
    next_attempt_at: "models.DateTimeField[datetime | None, datetime | None]" = (
        models.DateTimeField(null=True)
    )
    handed_until: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(
        null=True
    )
    claim: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    delivered_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(
        null=True
    )
    created_at = models.DateTimeField()

    # An annotation of ``webhooks.selectors``.
    newest_attempts: "list[DeliveryAttempt]"

    class Meta:
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["event", "endpoint"], name="an_event_is_delivered_once_per_endpoint"
            ),
            models.CheckConstraint(
                condition=Q(status=DeliveryStatus.PENDING, next_attempt_at__isnull=False)
                | Q(
                    status__in=["delivered", "dead", "parked"],
                    next_attempt_at__isnull=True,
                    handed_until__isnull=True,
                    claim__isnull=True,
                ),
                name="pending_exactly_with_a_next_attempt",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["owner_id", "id"], name="delivery_by_owner"),
            models.Index(fields=["endpoint", "created_at", "id"], name="delivery_by_endpoint"),
            models.Index(
                fields=["endpoint", "next_attempt_at", "id"],
                condition=Q(status=DeliveryStatus.PENDING),
                name="delivery_that_is_pending",
            ),
            models.Index(
                fields=["endpoint", "handed_until"],
                condition=Q(handed_until__isnull=False),
                name="delivery_that_is_handed_out",
            ),
            models.Index(
                fields=["owner_id", "id"],
                condition=Q(status=DeliveryStatus.DEAD),
                name="delivery_that_is_dead",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.id} ({self.status})"


class DeliveryAttempt(models.Model):
    """One try: what was answered, or the word for why nothing was. Insert-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempts", db_index=False)
    status_code: "models.PositiveSmallIntegerField[int | None, int | None]" = (
        models.PositiveSmallIntegerField(null=True)
    )
    error = models.CharField(max_length=20, blank=True)
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["delivery", "id"], name="attempt_by_delivery")]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S} {self.status_code or self.error}"
