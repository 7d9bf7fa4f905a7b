"""The audit trail and the outbox for operators: to read."""

from django.contrib import admin

from events.models import AuditRecord, OutboxEvent
from fintech_core.admin import ReadOnlyAdmin


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "action", "subject_type", "subject_id", "actor_id", "reason")
    list_filter = ("action", "subject_type")
    search_fields = ("subject_id", "actor_id")
    ordering = ("-id",)


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    """Empty, but for moments, where a relay runs."""

    list_display = ("id", "type", "owner_id", "subject_id", "sequence", "created_at")
    list_filter = ("type",)
    search_fields = ("=id", "=subject_id", "=owner_id")
    ordering = ("id",)
    show_full_result_count = False
    fields = readonly_fields = list_display
