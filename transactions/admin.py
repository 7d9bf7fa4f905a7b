"""The ledger for operators: to read. Nothing in it can be changed, here or anywhere."""

from decimal import Decimal
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
from fintech_core.middleware import current_request_id
from fintech_core.money import format_amount
from transactions import services
from transactions.instructions import Request
from transactions.models import (
    Checkpoint,
    CheckpointHead,
    LedgerEntry,
    LedgerHalt,
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


def _with_currency(amount: Decimal, currency: str) -> str:
    return f"{format_amount(amount, currency)} {currency}"
