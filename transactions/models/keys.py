"""Idempotency keys that no transaction stands for."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from fintech_core.fields import uuid7


class ClaimedKey(models.Model):
    """A caller's key that was used for a request that moved no money: a payment or a transfer to come.

    ``open_accounts()`` looks at it: no transaction of the caller has the key. It is never rewritten.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    caller = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    idempotency_key = models.CharField(max_length=255)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["caller", "idempotency_key"], name="key_is_claimed_once_per_caller"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.idempotency_key} of {self.caller_id}"
