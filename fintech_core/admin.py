"""The base of every admin page: people look, and act only through services."""

import uuid
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from fintech_core.exceptions import DomainError

REASON_MAX_LENGTH = 500


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Shows what is there; nothing can be added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReasonForm(BaseDialogForm):  # type: ignore[misc]
    """Asks an operator why; the reason goes on record."""

    reason = forms.CharField(max_length=REASON_MAX_LENGTH, widget=UnfoldAdminTextareaWidget)


def reason_dialog(*, title: str, description: str, submit: str) -> dict[str, Any]:
    """An action's dialog that asks for a reason."""
    return {
        "title": title,
        "description": description,
        "form_class": ReasonForm,
        "form_submit_text": submit,
    }


def parse_key(text: str) -> uuid.UUID:
    """The id in an admin address; a 404 for anything else."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Http404 from None


def run_service(
    request: HttpRequest, subject: object, act: Callable[[], object], done: str
) -> None:
    """Run a service and tell the operator what came of it."""
    try:
        act()
    except DomainError as error:
        texts = [text for found in error.facts.get("errors", {}).values() for text in found]
        messages.error(request, f"{subject}: {' '.join(texts) or error.detail}")
    except PermissionDenied:
        messages.error(request, f"{subject}: You may not do this.")
    else:
        messages.success(request, f"{subject}: {done}")


def back_to(request: HttpRequest, page: str, object_id: str) -> HttpResponse:
    """To an object's page after a dialog; the dialog's script follows its own header."""
    address = reverse(f"admin:{page}_change", args=[object_id])
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": address})
    return redirect(address)
