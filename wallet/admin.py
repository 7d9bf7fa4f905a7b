"""Wallets for operators: to look at, to freeze and to unfreeze."""

from collections.abc import Callable

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
from fintech_core.money import format_amount
from wallet import services
from wallet.models import Hold, Wallet

_FREEZE = reason_dialog(
    title="Freeze this wallet",
    description="Nothing leaves it and nothing enters until it is unfrozen.",
    submit="Freeze",
)
_UNFREEZE = reason_dialog(
    title="Unfreeze this wallet",
    description="Money may move again at once.",
    submit="Unfreeze",
)


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    """Balances are what the entries add up to: there is nothing to edit."""

    list_display = ("__str__", "owner", "kind", "status", "money", "money_held", "created_at")
    list_filter = ("kind", "status", "currency")
    list_select_related = ("owner",)
    search_fields = ("=id", "owner__email", "purpose")
    ordering = ("-id",)
    fields = (
        "owner",
        "user",
        "kind",
        "purpose",
        "name",
        "currency",
        "status",
        "status_reason",
        "money",
        "money_held",
        "overdraft_limit",
        "limits_wallet",
        "last_sequence",
        "spent_on",
        "spent_in_day",
        "spent_in_month",
        "created_at",
    )
    readonly_fields = fields
    actions_detail = ("freeze", "unfreeze")

    def has_freeze_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm("wallet.freeze_wallet"))

    @admin.display(description="balance", ordering="balance")
    def money(self, wallet: Wallet) -> str:
        return format_amount(wallet.balance, wallet.currency)

    @admin.display(description="held")
    def money_held(self, wallet: Wallet) -> str:
        return format_amount(wallet.held, wallet.currency)

    @action(description="Freeze", permissions=["freeze"], dialog=_FREEZE)  # type: ignore[untyped-decorator]
    def freeze(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._change(request, form, object_id, services.freeze_wallet, "frozen")

    @action(description="Unfreeze", permissions=["freeze"], dialog=_UNFREEZE)  # type: ignore[untyped-decorator]
    def unfreeze(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._change(request, form, object_id, services.unfreeze_wallet, "unfrozen")

    def _change(
        self,
        request: HttpRequest,
        form: ReasonForm,
        object_id: str,
        service: Callable[..., Wallet],
        done: str,
    ) -> HttpResponse:
        def act() -> None:
            service(
                wallet_id=parse_key(object_id),
                acting_user=request.user,
                reason=form.cleaned_data["reason"],
            )

        run_service(request, "The wallet", act, done)
        return back_to(request, "wallet_wallet", object_id)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "status", "wallet", "reserved", "captured", "expires_at")
    list_filter = ("status", "currency")
    list_select_related = ("wallet__owner",)
    search_fields = ("=id", "=wallet__id")
    ordering = ("-created_at",)

    @admin.display(description="amount")
    def reserved(self, hold: Hold) -> str:
        return f"{format_amount(hold.amount, hold.currency)} {hold.currency}"

    @admin.display(description="captured")
    def captured(self, hold: Hold) -> str:
        return f"{format_amount(hold.captured_amount, hold.currency)} {hold.currency}"
