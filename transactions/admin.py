"""The ledger for operators: to read. Nothing in it can be changed, here or anywhere; rates are added."""

from decimal import Decimal
from typing import Any, ClassVar, cast

from django import forms
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
from fintech_core.exceptions import InvalidInput
from fintech_core.middleware import current_request_id
from fintech_core.money import format_amount
from transactions import services
from transactions.instructions import Request
from transactions.models import (
    Checkpoint,
    CheckpointHead,
    ClaimedKey,
    ExchangeRate,
    LedgerEntry,
    LedgerHalt,
    Quote,
    Schedule,
    ScheduleRun,
    Transaction,
    Verification,
)
from transactions.signatures import line_of
from users.models import User

_VOID = reason_dialog(
    title="Void this hold",
    description="What is still held is available to the payer again at once.",
    submit="Void",
)


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "kind",
        "status",
        "amount_with_currency",
        "from_wallet",
        "to_wallet",
        "decline_code",
    )
    list_filter = ("kind", "status", "currency", "decline_code")
    search_fields = ("=id", "=idempotency_key", "=initiated_by__email")
    list_select_related = ("from_wallet__owner", "to_wallet__owner", "initiated_by")
    ordering = ("-id",)
    show_full_result_count = False
    exclude = ("fingerprint", "amount", "currency")
    readonly_fields = (
        "reference",
        "amount_with_currency",
        "fingerprint_hex",
        "entries_of_transaction",
    )
    actions_detail = ("void",)

    def has_void_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm("transactions.void_hold"))

    @action(description="Void the hold", permissions=["void"], dialog=_VOID)  # type: ignore[untyped-decorator]
    def void(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        hold_id = parse_key(object_id)

        def act() -> None:
            outcome = services.void_hold(
                hold_id=hold_id,
                request=services.void_request(
                    Request(request.user.pk, "", b"", request_id=current_request_id()), hold_id
                ),
                is_operator=True,
                reason=form.cleaned_data["reason"],
            )
            if outcome.act.decline is not None:
                raise outcome.act.decline

        run_service(request, "The hold", act, "voided")
        return back_to(request, "transactions_transaction", object_id)

    @admin.display(description="amount")
    def amount_with_currency(self, transaction: Transaction) -> str:
        return _with_currency(transaction.amount, transaction.currency)

    @admin.display(description="fingerprint")
    def fingerprint_hex(self, transaction: Transaction) -> str:
        return bytes(transaction.fingerprint).hex()

    @admin.display(description="entries")
    def entries_of_transaction(self, transaction: Transaction) -> str:
        return "\n".join(
            f"{entry.leg}: {_with_currency(entry.amount, entry.currency)} → {entry.wallet}"
            for entry in transaction.entries.select_related("wallet__owner").order_by("leg")
        )


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "wallet", "sequence", "moved", "left", "transaction")
    list_filter = ("currency",)
    search_fields = ("=transaction__id", "=wallet__id")
    list_select_related = ("wallet__owner", "transaction")
    ordering = ("-id",)
    show_full_result_count = False
    exclude = ("previous_hash", "hash", "amount", "balance_after")
    readonly_fields = ("moved", "left", "hash_hex")

    @admin.display(description="amount")
    def moved(self, entry: LedgerEntry) -> str:
        return _with_currency(entry.amount, entry.currency)

    @admin.display(description="balance after")
    def left(self, entry: LedgerEntry) -> str:
        return _with_currency(entry.balance_after, entry.currency)

    @admin.display(description="hash")
    def hash_hex(self, entry: LedgerEntry) -> str:
        return bytes(entry.hash).hex()


_CLEAR = reason_dialog(
    title="Let money move again",
    description="Do so when the row that is named is understood and put right.",
    submit="Let money move",
)


@admin.register(LedgerHalt)
class LedgerHaltAdmin(ReadOnlyAdmin):
    list_display = ("raised_at", "reason", "cleared_at", "cleared_by")
    list_select_related = ("cleared_by",)
    ordering = ("-id",)
    actions_detail = ("clear",)

    def has_clear_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm("transactions.clear_halt"))

    @action(description="Clear", permissions=["clear"], dialog=_CLEAR)  # type: ignore[untyped-decorator]
    def clear(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        def act() -> None:
            services.clear_halt(
                acting_user=cast("User", request.user), reason=form.cleaned_data["reason"]
            )

        run_service(request, "The halt", act, "cleared")
        return back_to(request, "transactions_ledgerhalt", object_id)


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ("number", "created_at", "entry_count", "wallet_count", "root_hex", "key_id")
    ordering = ("-number",)
    show_full_result_count = False
    exclude = ("previous", "root", "changed_root", "signature")
    readonly_fields = ("root_hex", "line")

    @admin.display(description="root")
    def root_hex(self, checkpoint: Checkpoint) -> str:
        return bytes(checkpoint.root).hex()

    @admin.display(description="as written outside the database")
    def line(self, checkpoint: Checkpoint) -> str:
        return line_of(checkpoint)


@admin.register(CheckpointHead)
class CheckpointHeadAdmin(ReadOnlyAdmin):
    list_display = ("checkpoint_id", "wallet", "sequence")
    list_select_related = ("wallet__owner",)
    search_fields = ("=wallet__id", "=checkpoint__number")
    ordering = ("-id",)
    show_full_result_count = False
    exclude = ("hash", "leaf")
    readonly_fields = ("hash_hex",)

    @admin.display(description="hash")
    def hash_hex(self, head: CheckpointHead) -> str:
        return bytes(head.hash).hex()


@admin.register(Verification)
class VerificationAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at",
        "finished_at",
        "is_full",
        "after_checkpoint",
        "until_checkpoint",
        "entry_count",
        "is_sound",
    )
    list_filter = ("is_sound", "is_full")
    ordering = ("-id",)


class RateForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new rate; the service behind it judges it and puts it on record."""

    class Meta:
        model = ExchangeRate
        fields = ("base", "quote", "rate", "source")
        help_texts: ClassVar = {
            "base": "The first of the two codes in the alphabet.",
            "rate": "So much of the quote currency is worth one of the base currency.",
        }

    operator: ClassVar[User | None] = None

    def _post_clean(self) -> None:
        if self.errors or self.operator is None:
            return
        try:
            self.instance = services.add_rate(**self.cleaned_data, acting_user=self.operator)
        except InvalidInput as refusal:
            for field, texts in refusal.facts["errors"].items():
                self.add_error(field, texts)


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ReadOnlyAdmin):
    """Rates are added, by those who hold ``transactions.add_exchangerate``; an old one stays."""

    list_display = ("as_of", "base", "quote", "rate", "source")
    list_filter = ("base", "quote", "source")
    ordering = ("-as_of", "-id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("transactions.add_exchangerate"))

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        return type("RateForm", (RateForm,), {"operator": request.user})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form's service has saved it."""


@admin.register(Quote)
class QuoteAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "owner", "paid", "bought", "rate", "expires_at", "transaction")
    list_select_related = ("owner", "transaction")
    ordering = ("-id",)

    @admin.display(description="amount")
    def paid(self, quote: Quote) -> str:
        return _with_currency(quote.amount, quote.currency)

    @admin.display(description="buys")
    def bought(self, quote: Quote) -> str:
        return _with_currency(quote.to_amount, quote.to_currency)


@admin.register(ClaimedKey)
class ClaimedKeyAdmin(ReadOnlyAdmin):
    list_display = ("id", "caller", "idempotency_key")
    search_fields = ("=idempotency_key", "=caller__email")
    list_select_related = ("caller",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "owner", "status", "planned", "rrule", "next_run_at", "troubles")
    list_filter = ("status", "currency")
    search_fields = ("=id", "=idempotency_key", "=owner__email")
    list_select_related = ("owner",)
    ordering = ("-id",)
    show_full_result_count = False
    exclude = ("fingerprint", "amount", "currency")
    readonly_fields = ("planned", "last_runs")

    @admin.display(description="amount")
    def planned(self, schedule: Schedule) -> str:
        return _with_currency(schedule.amount, schedule.currency)

    @admin.display(description="last runs")
    def last_runs(self, schedule: Schedule) -> str:
        runs = schedule.runs.order_by("-occurrence")[:50]
        return "\n".join(f"{run} {run.transaction_id or ''}".strip() for run in runs)


@admin.register(ScheduleRun)
class ScheduleRunAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "schedule", "occurrence", "status", "code", "transaction")
    list_filter = ("status", "code")
    search_fields = ("=schedule__id", "=transaction__id")
    list_select_related = ("schedule", "transaction")
    ordering = ("-id",)
    show_full_result_count = False


def _with_currency(amount: Decimal, currency: str) -> str:
    return f"{format_amount(amount, currency)} {currency}"
