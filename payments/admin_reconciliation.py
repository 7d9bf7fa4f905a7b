"""Operators' pages for what settlement reports say, beside what we know."""

from typing import Any, cast

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action

from fintech_core.admin import ReadOnlyAdmin, ReasonForm, back_to, reason_dialog, run_service
from payments.models import ReconciliationRow, ReconciliationRun
from payments.services.reconciliation import EXPLAIN, explain_row
from users.models import User

_EXPLAIN = reason_dialog(
    title="Explain this row",
    description="Say why the report and our books differ here; it stays on record.",
    submit="Explain",
)


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(ReadOnlyAdmin):
    """One report each; runs are made by ``manage.py reconcile_provider`` and by the clock."""

    list_display = (
        "created_at",
        "provider",
        "first_on",
        "last_on",
        "is_clean",
        "matched_count",
        "missing_count",
        "extra_count",
        "differing_count",
        "counts",
    )
    list_filter = ("is_clean", "provider", "source", ("superseded_by", admin.EmptyFieldListFilter))
    list_select_related = ("superseded_by",)
    ordering = ("-id",)
    show_full_result_count = False
    exclude = ("digest", "totals")
    readonly_fields = ("digest_hex", "sums", "rows_of_run")

    @admin.display(description="counts", boolean=True)
    def counts(self, run: ReconciliationRun) -> bool:
        """Whether no other run supersedes it."""
        return not hasattr(run, "superseded_by")

    @admin.display(description="SHA-256 of the report")
    def digest_hex(self, run: ReconciliationRun) -> str:
        return bytes(run.digest).hex()

    @admin.display(description="sums")
    def sums(self, run: ReconciliationRun) -> str:
        return "\n".join(
            ", ".join(f"{name} {told}" for name, told in totals.items()) for totals in run.totals
        )

    @admin.display(description="rows")
    def rows_of_run(self, run: ReconciliationRun) -> str:
        address = reverse("admin:payments_reconciliationrow_changelist")
        outcomes = ("missing", "extra", "differing", "matched")
        return format_html_join(
            " · ",
            '<a href="{}?run__id__exact={}&outcome__exact={}">{}</a>',
            ((address, run.pk, outcome, outcome) for outcome in outcomes),
        )


@admin.register(ReconciliationRow)
class ReconciliationRowAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "outcome",
        "reason",
        "kind",
        "reference",
        "reported",
        "settled_at",
        "own",
        "own_status",
        "posted_at",
        "explanation",
    )
    list_filter = (
        "outcome",
        "reason",
        "kind",
        ("explained_at", admin.EmptyFieldListFilter),
        "run__provider",
    )
    search_fields = ("=reference", "=subject_id", "=run__id")
    ordering = ("-run_id", "id")
    show_full_result_count = False
    exclude = ("reported_amount", "reported_currency", "reported_fee", "own_amount", "own_currency")
    readonly_fields = ("reported", "fee", "own", "ours")
    actions_detail = ("explain",)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """The links of a run's page, too."""
        return lookup == "run__id__exact" or bool(super().lookup_allowed(lookup, value, request))

    def has_explain_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm(EXPLAIN))

    @admin.display(description="in the report")
    def reported(self, row: ReconciliationRow) -> str:
        return _with_currency(row.reported_amount, row.reported_currency)

    @admin.display(description="fee")
    def fee(self, row: ReconciliationRow) -> str:
        return _with_currency(row.reported_fee, row.reported_currency)

    @admin.display(description="in our books")
    def own(self, row: ReconciliationRow) -> str:
        return _with_currency(row.own_amount, row.own_currency)

    @admin.display(description="our object")
    def ours(self, row: ReconciliationRow) -> str:
        return format_html("{} {}", row.kind, row.subject_id) if row.subject_id else "-"

    @action(description="Explain", permissions=["explain"], dialog=_EXPLAIN)  # type: ignore[untyped-decorator]
    def explain(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) < 19):
            raise Http404

        def act() -> None:
            explain_row(
                row_id=int(object_id),
                acting_user=cast("User", request.user),
                reason=form.cleaned_data["reason"],
            )

        run_service(request, "The row", act, "explained")
        return back_to(request, "payments_reconciliationrow", object_id)


def _with_currency(amount: Any, currency: str) -> str:
    return "-" if amount is None else f"{amount} {currency}"
