"""Operators' pages for intents, refunds and payouts: to read. What comes of them their provider
says."""

from typing import Any

from django.contrib import admin
from unfold.decorators import display

from fintech_core.admin import ReadOnlyAdmin
from payments.models import PaymentIntent, Payout, Refund


class MovementAdmin(ReadOnlyAdmin):
    """What the three have in common."""

    search_fields: Any = ("=id", "=provider_reference")
    list_filter: Any = ("status", "provider", "currency")
    ordering = ("-id",)
    show_full_result_count = False
    readonly_fields: Any = ("amount_with_currency",)
    exclude: Any = ("amount", "currency")

    @display(description="Amount")  # type: ignore[untyped-decorator]
    def amount_with_currency(self, movement: PaymentIntent | Refund | Payout) -> str:
        return f"{movement.money} {movement.currency}"


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
