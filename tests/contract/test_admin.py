"""The operators' pages: every model is there, what happened is read-only, and nothing is ever deleted."""

import uuid
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse

from events.models import AuditRecord
from transactions import services
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import hold_status, make_hold
from users.models import User
from users.tests.factories import make_staff

pytestmark = pytest.mark.usefixtures("committed")

OURS = ("events", "users", "wallet", "transactions", "payments", "webhooks")
MODELS = [model for app in OURS for model in apps.get_app_config(app).get_models()]


def operator() -> User:
    return User.objects.create_superuser(f"{uuid.uuid4().hex}@example.com")


def signed_in(user: User) -> Client:
    client = Client(HTTP_HOST="localhost")
    client.force_login(user)
    return client


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_has_a_page_and_no_delete(model: Any) -> None:
    page = admin.site._registry[model]
    request = RequestFactory().get("/")
    request.user = operator()
    assert not page.has_delete_permission(request)
    assert "delete_selected" not in page.get_actions(request)
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    assert signed_in(operator()).get(address).status_code == 200


@pytest.mark.parametrize("name", ["Transaction", "LedgerEntry", "AuditRecord", "Wallet"])
def test_what_happened_can_only_be_read(name: str) -> None:
    [model] = [model for model in MODELS if model.__name__ == name]
    page = admin.site._registry[model]
    request = RequestFactory().get("/")
    request.user = operator()
    assert not page.has_add_permission(request)
    assert not page.has_change_permission(request)
    assert page.has_view_permission(request)


def test_the_pages_of_a_posted_transfer_open() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    row = services.transfer(instruct(payer, payee, "2.50")).transaction
    client = signed_in(operator())
    page = client.get(reverse("admin:transactions_transaction_change", args=[row.id]))
    assert b"2.50 USD" in page.content
    entry = wallet_of(payer).entries.get(sequence=2)
    page = client.get(reverse("admin:transactions_ledgerentry_change", args=[entry.pk]))
    assert b"-2.50 USD" in page.content


def test_a_wallet_is_frozen_and_unfrozen_with_a_reason() -> None:
    user, acting = make_payer("5.00"), operator()
    wallet, client = wallet_of(user), signed_in(acting)
    for action, status in (("freeze", "frozen"), ("unfreeze", "active")):
        address = reverse(f"admin:wallet_wallet_{action}", args=[wallet.pk])
        client.post(address, {"_form_submitted": "on", "reason": f"to {action}"})
        wallet.refresh_from_db()
        assert (wallet.status, wallet.status_reason) == (status, f"to {action}")
    trail = AuditRecord.objects.filter(subject_id=wallet.pk).order_by("sequence")
    assert [(r.action, r.actor_id, r.sequence) for r in trail] == [
        ("wallet.frozen", acting.pk, 1),
        ("wallet.unfrozen", acting.pk, 2),
    ]


def test_freezing_needs_its_permission() -> None:
    user, staff = make_payer("5.00"), make_payee()
    User.objects.filter(pk=staff.pk).update(is_staff=True)
    address = reverse("admin:wallet_wallet_freeze", args=[wallet_of(user).pk])
    signed_in(User.objects.get(pk=staff.pk)).post(address, {"_form_submitted": "on", "reason": "x"})
    assert wallet_of(user).status == "active"


def test_a_hold_is_voided_with_a_reason_by_who_may() -> None:
    payer, payee, acting = make_payer("10.00"), make_payee(), operator()
    hold_id = make_hold(payer, payee, "6.00")
    address = reverse("admin:transactions_transaction_void", args=[hold_id])
    body = {"_form_submitted": "on", "reason": "a dispute"}
    signed_in(make_staff("transactions.view_transaction")).post(address, body)
    assert hold_status(hold_id) == "open"
    for _ in range(2):
        signed_in(acting).post(address, body)
        assert hold_status(hold_id) == "voided"
    [trail] = AuditRecord.objects.filter(subject_id=hold_id)
    assert (trail.action, trail.actor_id, trail.reason) == ("hold.voided", acting.pk, "a dispute")
