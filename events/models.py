"""The audit trail: who did what to whom, before and after. Append-only, chained per subject.

And the outbox: what happened and has not been handed on yet.
"""

import uuid
from typing import Any, ClassVar

from django.db import models

from fintech_core.fields import uuid7


class AuditRecord(models.Model):
    """One act on one subject, written in the transaction of what it tells.

    Records of a subject are numbered from 1 without gaps; each hash covers the one before, so an
    edited, removed or inserted record shows. PostgreSQL refuses UPDATE, DELETE and TRUNCATE, and fills
    in ``sequence``, ``previous_hash``, ``hash`` and ``created_at`` itself.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject_type = models.CharField(max_length=40)
    subject_id = models.UUIDField()
    sequence = models.BigIntegerField(editable=False, default=0)
    action = models.CharField(max_length=60)
    # Who did it; null for the platform itself. No foreign key: a record outlives its actor.
    actor_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    request_id = models.CharField(max_length=128, blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(editable=False, null=True)
    previous_hash = models.BinaryField(max_length=32, editable=False, null=True)
    hash = models.BinaryField(max_length=32, editable=False, null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subject_type", "subject_id", "sequence"],
                name="audit_sequence_is_unique_per_subject",
            )
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_type} {self.subject_id} #{self.sequence}"


class OutboxEvent(models.Model):
    """Something that happened and is to be announced, written in the transaction of what it tells.

    Whoever hands it on deletes it in the transaction that takes note of whom to tell: so nothing is lost
    and nothing is announced that did not happen. An event of the ledger has a type and the id of its
    transaction, which says the rest; the others say whom they concern, of what, and its state then.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    type = models.CharField(max_length=40)
    owner_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    subject_id: "models.UUIDField[uuid.UUID | None, uuid.UUID | None]" = models.UUIDField(null=True)
    # Counts what is announced of one subject, from 1: receivers put events in order by it.
    sequence = models.IntegerField(null=True)
    data: "models.JSONField[dict[str, Any] | None, dict[str, Any] | None]" = models.JSONField(
        null=True
    )
    created_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.type} {self.id}"
