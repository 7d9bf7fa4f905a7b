"""Operators' pages for what providers told, and for what a person must look at."""

import json
from typing import cast

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from fintech_core.admin import (
    ReadOnlyAdmin,
    ReasonForm,
    back_to,
    parse_key,
    reason_dialog,
    run_service,
)
from payments.models import PaymentIssue, ProviderEvent
from payments.services.events import RETRY, retry_event
from payments.services.issues import RESOLVE, resolve_issue
from users.models import User

_RETRY = reason_dialog(
    title="Try again",
    description="The event is acted on again at once, and its issue is closed.",
    submit="Try again",
)
_RESOLVE = reason_dialog(
    title="Resolve the issue",
    description="Say what was found and what was done about it; both stay on record.",
    submit="Resolve",
)


@admin.register(ProviderEvent)
class ProviderEventAdmin(ReadOnlyAdmin):
    """The body is not shown: it may hold what is nobody's business."""

    list_display = ("received_at", "provider", "type", "event_id", "status", "attempts", "failure")
    list_filter = ("status", "provider", "type")
    search_fields = ("=id", "=event_id")
    ordering = ("-id",)
    show_full_result_count = False
    exclude = ("body", "digest", "happened")
    readonly_fields = ("told", "digest_hex")
    actions_detail = ("retry",)

    def has_retry_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm(RETRY))

    @admin.display(description="what happened")
    def told(self, event: ProviderEvent) -> str:
        return json.dumps(event.happened, indent=1)

    @admin.display(description="SHA-256 of the body")
    def digest_hex(self, event: ProviderEvent) -> str:
        return bytes(event.digest).hex()

    @action(description="Try again", permissions=["retry"], dialog=_RETRY)  # type: ignore[untyped-decorator]
    def retry(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        def act() -> None:
            retry_event(
                event_id=parse_key(object_id),
                acting_user=cast("User", request.user),
                reason=form.cleaned_data["reason"],
            )

        run_service(request, "The event", act, "is tried again")
        return back_to(request, "payments_providerevent", object_id)


@admin.register(PaymentIssue)
class PaymentIssueAdmin(ReadOnlyAdmin):
    list_display = ("opened_at", "kind", "provider", "reference", "subject_type", "resolved_at")
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), "kind", "provider")
    search_fields = ("=id", "=reference", "=subject_id")
    ordering = ("-id",)
    show_full_result_count = False
    actions_detail = ("resolve",)

    def has_resolve_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm(RESOLVE))

    @action(description="Resolve", permissions=["resolve"], dialog=_RESOLVE)  # type: ignore[untyped-decorator]
    def resolve(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        def act() -> None:
            resolve_issue(
                issue_id=parse_key(object_id),
                acting_user=cast("User", request.user),
                resolution=form.cleaned_data["reason"],
            )

        run_service(request, "The issue", act, "resolved")
        return back_to(request, "payments_paymentissue", object_id)
