"""Money in and out: what was asked, what became of it, what providers told."""

from payments.models.inbox import EventStatus, PaymentIssue, ProviderEvent

__all__ = ["EventStatus", "PaymentIssue", "ProviderEvent"]
