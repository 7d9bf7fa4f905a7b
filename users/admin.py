"""Operators' pages for accounts and identity checks; every act goes through a service."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as StockGroupAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget

from fintech_core.admin import ReadOnlyAdmin, back_to, parse_key, reason_dialog, run_service
from fintech_core.exceptions import InvalidInput, NotFound
from users import services
from users.models import AttemptCounter, KycSubmission, LoginSession, User
from users.serializers import mask
from users.services.kyc import DECIDE


def _operator(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new account; the service behind it judges address and password."""

    password = forms.CharField(widget=UnfoldAdminPasswordWidget, strip=False)

    class Meta:
        model = User
        fields = ("email",)
        field_classes: ClassVar = {"email": forms.CharField}
        widgets: ClassVar = {"email": UnfoldAdminEmailInputWidget}

    operator: ClassVar[User | None] = None

    def _post_clean(self) -> None:
        """The account is made here, so that what the service refuses shows beside its field."""
        if self.errors or self.operator is None:
            return
        try:
            self.instance = services.create_account(
                email=self.cleaned_data["email"],
                password=self.cleaned_data["password"],
                acting_user=self.operator,
            )
        except InvalidInput as refusal:
            for field, texts in refusal.facts["errors"].items():
                self.add_error(field, texts)


@admin.register(User)
class UserAdmin(ModelAdmin):  # type: ignore[misc]
    """Accounts. Standing, address and number are shown; what may be granted needs a superuser."""

    list_display = (
        "email",
        "phone",
        "kyc_status",
        "kyc_tier",
        "is_active",
        "is_staff",
        "created_at",
    )
    list_filter = ("kyc_status", "kyc_tier", "is_active", "is_staff")
    search_fields = ("=id", "email", "=phone")
    ordering = ("-id",)
    filter_horizontal = ("groups", "user_permissions")
    fields = (
        "email",
        "email_verified_at",
        "phone",
        "phone_verified_at",
        "first_name",
        "last_name",
        "is_active",
        "is_staff",
        "is_superuser",
        "groups",
        "user_permissions",
        "kyc_status",
        "kyc_tier",
        "kyc_reason",
        "kyc_expires_at",
        "created_at",
    )
    readonly_fields = (
        "email",
        "email_verified_at",
        "phone",
        "phone_verified_at",
        "is_active",
        "kyc_status",
        "kyc_tier",
        "kyc_reason",
        "kyc_expires_at",
        "created_at",
    )
    granting_fields = ("is_staff", "is_superuser", "groups", "user_permissions")
    actions = ("deactivate", "activate", "end_tokens", "verify_phones")

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody but a superuser touches a superuser."""
        allowed = bool(super().has_change_permission(request, obj))
        return allowed and (obj is None or not obj.is_superuser or _operator(request).is_superuser)

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> Sequence[str]:
        return ("email", "password") if obj is None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Sequence[str]:
        if obj is None:
            return ()
        granting = () if _operator(request).is_superuser else self.granting_fields
        return (*self.readonly_fields, *granting)

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change=change, **kwargs)
        return type("AccountForm", (AccountForm,), {"operator": _operator(request)})

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Only what was changed on the page is written: a decision taken meanwhile stands."""
        columns = {"first_name", "last_name", "is_staff", "is_superuser"}
        if change and (changed := columns & set(form.changed_data)):
            obj.save(update_fields=sorted(changed))

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, services.deactivate_user, "deactivated")

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, services.activate_user, "activated")

    @admin.action(description="End all tokens and sessions", permissions=["change"])
    def end_tokens(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, services.end_all_tokens, "signed out everywhere")

    @admin.action(description="Mark the phone number as verified", permissions=["change"])
    def verify_phones(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, services.verify_phone, "phone verified")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[User],
        service: Callable[..., None],
        done: str,
    ) -> None:
        operator = _operator(request)
        for user in queryset:

            def act(user_id: uuid.UUID = user.pk) -> None:
                service(user_id=user_id, acting_user=operator)

            run_service(request, user, act, done)


_REJECT = reason_dialog(
    title="Reject this submission",
    description="The user is told the reason and may hand in again.",
    submit="Reject",
)


def _approval(tier: int) -> dict[str, Any]:
    return {
        "title": f"Approve for tier {tier}",
        "description": "The user may move money within this tier's limits at once.",
        "form_class": BaseDialogForm,
        "form_submit_text": "Approve",
    }


@admin.register(KycSubmission)
class KycSubmissionAdmin(ReadOnlyAdmin):
    """Identities to decide on. The pictures open here and nowhere else."""

    list_display = (
        "submitted_at",
        "user",
        "legal_name",
        "country",
        "document_type",
        "status",
        "tier",
    )
    list_filter = ("status", "document_type", "tier")
    list_select_related = ("user",)
    search_fields = ("=id", "user__email", "legal_name")
    ordering = ("-id",)
    fields = (
        "user",
        "status",
        "legal_name",
        "date_of_birth",
        "country",
        "address",
        "document_type",
        "masked_number",
        "pictures",
        "tier",
        "reason",
        "submitted_at",
        "decided_at",
        "decided_by",
    )
    readonly_fields = fields
    actions = ("approve_for_tier_1", "approve_for_tier_2")
    actions_detail = ("approve_1", "approve_2", "reject")

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(_operator(request).has_perm(DECIDE))

    @admin.display(description="Document number")
    def masked_number(self, submission: KycSubmission) -> str:
        return mask(submission.document_number)

    @admin.display(description="Pictures")
    def pictures(self, submission: KycSubmission) -> str:
        front = reverse("admin:users_kycsubmission_picture", args=[submission.pk, "front"])
        if not submission.document_back:
            return format_html('<a href="{}">Front</a>', front)
        back = reverse("admin:users_kycsubmission_picture", args=[submission.pk, "back"])
        return format_html('<a href="{}">Front</a> · <a href="{}">Back</a>', front, back)

    @admin.action(description="Approve for tier 1", permissions=["decide"])
    def approve_for_tier_1(self, request: HttpRequest, queryset: QuerySet[KycSubmission]) -> None:
        for submission in queryset:
            self._approve(request, submission.pk, 1)

    @admin.action(description="Approve for tier 2", permissions=["decide"])
    def approve_for_tier_2(self, request: HttpRequest, queryset: QuerySet[KycSubmission]) -> None:
        for submission in queryset:
            self._approve(request, submission.pk, 2)

    @action(description="Approve for tier 1", permissions=["decide"], dialog=_approval(1))  # type: ignore[untyped-decorator]
    def approve_1(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        self._approve(request, parse_key(object_id), 1)
        return back_to(request, "users_kycsubmission", object_id)

    @action(description="Approve for tier 2", permissions=["decide"], dialog=_approval(2))  # type: ignore[untyped-decorator]
    def approve_2(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        self._approve(request, parse_key(object_id), 2)
        return back_to(request, "users_kycsubmission", object_id)

    @action(description="Reject", permissions=["decide"], dialog=_REJECT)  # type: ignore[untyped-decorator]
    def reject(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        def act() -> None:
            services.reject_kyc(
                submission_id=parse_key(object_id),
                acting_user=_operator(request),
                reason=form.cleaned_data["reason"],
            )

        run_service(request, object_id, act, "rejected")
        return back_to(request, "users_kycsubmission", object_id)

    def _approve(self, request: HttpRequest, submission_id: uuid.UUID, tier: int) -> None:
        def act() -> None:
            services.approve_kyc(
                submission_id=submission_id, acting_user=_operator(request), tier=tier
            )

        run_service(request, submission_id, act, f"approved for tier {tier}")

    def get_urls(self) -> list[URLPattern]:
        picture = path(
            "<uuid:submission_id>/picture/<str:side>/",
            self.admin_site.admin_view(self.picture),
            name="users_kycsubmission_picture",
        )
        return [picture, *super().get_urls()]

    def picture(self, request: HttpRequest, submission_id: uuid.UUID, side: str) -> FileResponse:
        """One picture as a download, never shown as a page; that it was opened goes on record."""
        if side not in {"front", "back"}:
            raise Http404
        try:
            file = services.open_document(
                submission_id=submission_id, side=side, acting_user=_operator(request)
            )
        except NotFound:
            raise Http404 from None
        response = FileResponse(
            file.open("rb"),
            as_attachment=True,
            filename=f"{submission_id}-{side}.jpg",
            content_type="image/jpeg",
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        return response


@admin.register(LoginSession)
class LoginSessionAdmin(ReadOnlyAdmin):
    """Who is signed in from where; the tokens themselves are not kept."""

    list_display = ("user", "network", "created_at", "last_used_at", "expires_at", "revoked_reason")
    list_filter = ("revoked_reason",)
    list_select_related = ("user",)
    search_fields = ("=id", "user__email", "network")
    ordering = ("-id",)
    exclude = ("current_token",)


@admin.register(AttemptCounter)
class AttemptCounterAdmin(ReadOnlyAdmin):
    """How often something was tried; whose attempts they are cannot be read back."""

    list_display = ("scope", "window_start", "count", "pending")
    list_filter = ("scope",)
    ordering = ("-window_start",)
    exclude = ("subject",)


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(StockGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """What a role may do; given to users on their page by a superuser."""

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return False
