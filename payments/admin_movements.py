"""Operators' pages for intents, refunds and payouts: to read, and to have their provider asked again.
What comes of them it says."""

from typing import Any, cast

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action, display

from fintech_core.admin import (
    ReadOnlyAdmin,
    ReasonForm,
    back_to,
    parse_key,
    reason_dialog,
    run_service,
)
from payments.models import PaymentIntent, Payout, Refund
from payments.services.asking import ASK, ask_again
from users.models import User

_ASK = reason_dialog(
    title="Ask the provider again",
    description="A worker asks at once, and applies what the provider says.",
    submit="Ask again",
)


class MovementAdmin(ReadOnlyAdmin):
    """What the three have in common."""

    search_fields: Any = ("=id", "=provider_reference")
    list_filter: Any = ("status", "provider", "currency")
    ordering = ("-id",)
    show_full_result_count = False
    readonly_fields: Any = ("amount_with_currency",)
    exclude: Any = ("amount", "currency")
    actions_detail = ("ask_now",)

    def has_ask_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm(ASK))

    @display(description="Amount")  # type: ignore[untyped-decorator]
    def amount_with_currency(self, movement: PaymentIntent | Refund | Payout) -> str:
        return f"{movement.money} {movement.currency}"

    @action(description="Ask again now", permissions=["ask"], dialog=_ASK)  # type: ignore[untyped-decorator]
    def ask_now(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        def act() -> None:
            ask_again(
                self.model,
                subject_id=parse_key(object_id),
                acting_user=cast("User", request.user),
                reason=form.cleaned_data["reason"],
            )

        run_service(request, "The provider", act, "is asked again")
        return back_to(request, f"payments_{self.model._meta.model_name}", object_id)


@admin.register(PaymentIntent)
class PaymentIntentAdmin(MovementAdmin):
    """What lets a browser pay is not shown."""

    list_display = (
        *("created_at", "status", "amount_with_currency", "user", "provider"),
        *("provider_reference", "failure_code"),
    )
    search_fields = (*MovementAdmin.search_fields, "=user__email", "=idempotency_key")
    list_select_related = ("user",)
    exclude = (*MovementAdmin.exclude, "fingerprint", "client_secret", "checkout_url")


@admin.register(Refund)
class RefundAdmin(MovementAdmin):
    list_display = (
        *("created_at", "status", "amount_with_currency", "intent", "provider"),
        *("provider_reference", "failure_code"),
    )
    search_fields = (*MovementAdmin.search_fields, "=intent__id", "=intent__user__email")
    list_select_related = ("intent",)


@admin.register(Payout)
class PayoutAdmin(MovementAdmin):
    list_display = (
        *("created_at", "status", "amount_with_currency", "user", "provider"),
        *("provider_reference", "failure_code"),
    )
    search_fields = (*MovementAdmin.search_fields, "=user__email")
    list_select_related = ("user",)
