"""Webhooks for operators, to look at: who is told, what is stuck. Secrets are not shown to anybody."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

from fintech_core.admin import ReadOnlyAdmin
from webhooks.models import (
    Delivery,
    DeliveryAttempt,
    Endpoint,
    UntoldAnnouncement,
    WebhookEvent,
)


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    list_display = ("url", "owner", "status", "reason", "failing_since", "is_slow", "created_at")
    list_filter = ("status", "reason", "is_slow")
    list_select_related = ("owner",)
    search_fields = ("=id", "owner__email", "url")
    ordering = ("-id",)
    fields = (
        *("owner", "url", "description", "events", "status", "reason", "failing_since", "failures"),
        *("is_slow", "has_succeeded", "resume_at", "due_at", "previous_expires_at", "created_at"),
    )
    readonly_fields = fields


class AttemptInline(TabularInline):  # type: ignore[misc]
    """The tries of a delivery."""

    model = DeliveryAttempt
    fields = readonly_fields = ("started_at", "status_code", "error", "duration_ms")
    ordering = ("-id",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "event_type", "endpoint", "status", "tries", "next_attempt_at")
    list_filter = ("status", "event_type")
    search_fields = ("=id", "=event__id", "=endpoint__id")
    ordering = ("-id",)
    show_full_result_count = False
    fields = (
        *("endpoint", "event_id", "event_type", "subject", "sequence", "status", "tries"),
        *("next_attempt_at", "delivered_at", "created_at", "body"),
    )
    readonly_fields = fields
    inlines = (AttemptInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return Delivery.objects.select_related("endpoint", "event")

    @admin.display(description="subject")
    def subject(self, delivery: Delivery) -> str:
        return str(delivery.event.subject_id)

    @admin.display(description="sequence")
    def sequence(self, delivery: Delivery) -> int:
        return delivery.event.sequence

    @admin.display(description="what is sent")
    def body(self, delivery: Delivery) -> str:
        return delivery.event.body


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "type", "subject_id", "sequence", "owner_id")
    list_filter = ("type",)
    search_fields = ("=id", "=subject_id", "=owner_id")
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "status_code", "error", "duration_ms", "delivery_id")
    list_filter = ("error",)
    search_fields = ("=delivery__id",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(UntoldAnnouncement)
class UntoldAnnouncementAdmin(ReadOnlyAdmin):
    """Empty unless something is wrong with us."""

    list_display = ("type", "id", "trouble", "created_at", "noted_at")
    list_filter = ("type",)
    search_fields = ("=id", "=subject_id")
    ordering = ("-noted_at",)
