"""The audit trail for operators: to read."""

from django.contrib import admin

from events.models import AuditRecord
from fintech_core.admin import ReadOnlyAdmin


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "action", "subject_type", "subject_id", "actor_id", "reason")
    list_filter = ("action", "subject_type")
    search_fields = ("subject_id", "actor_id")
    ordering = ("-id",)
