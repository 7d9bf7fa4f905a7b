"""The operators' pages of reconciliations: runs and rows to read, rows to explain."""

import datetime
import io
import uuid

import pytest
from django.test import Client
from django.urls import reverse

from events.models import AuditRecord
from payments.models import ReconciliationRow, ReconciliationRun
from payments.services.reconciliation import list_unmatched, reconcile_with_file
from users.models import User
from users.tests.factories import make_staff

pytestmark = pytest.mark.usefixtures("committed")

HEADER = "kind,reference,own_id,amount,fee,currency,settled_at\n"


def make_run() -> tuple[ReconciliationRun, ReconciliationRow]:
    """A run with one row that nobody knows."""
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    text = f"{HEADER}payment,pay_{uuid.uuid4().hex},,12.34,0.30,USD,{day}T10:00:00Z\n"
    file = io.BytesIO(text.encode())
    provider = f"p{uuid.uuid4().hex[:8]}"
    run = reconcile_with_file(provider=provider, first=day, last=day, file=file, name="day.csv")
    [row] = list_unmatched(run)
    return run, row


def signed_in(user: User) -> Client:
    client = Client(HTTP_HOST="localhost")
    client.force_login(user)
    return client


def superuser() -> User:
    return User.objects.create_superuser(f"{uuid.uuid4().hex}@example.com")


def test_runs_and_their_rows_are_shown_and_filtered() -> None:
    run, row = make_run()
    client = signed_in(superuser())
    runs = client.get(reverse("admin:payments_reconciliationrun_changelist"))
    assert run.provider.encode() in runs.content
    page = client.get(reverse("admin:payments_reconciliationrun_change", args=[run.pk]))
    assert b"report 12.34" in page.content
    rows = reverse("admin:payments_reconciliationrow_changelist")
    assert f"{rows}?run__id__exact={run.pk}".encode() in page.content
    for outcome, is_there in (("extra", True), ("missing", False)):
        asked = {"run__id__exact": str(run.pk), "outcome__exact": outcome}
        found = client.get(rows, asked)
        assert found.status_code == 200
        assert (row.reference.encode() in found.content) is is_there
    page = client.get(reverse("admin:payments_reconciliationrow_change", args=[row.pk]))
    assert b"12.34 USD" in page.content


def test_nothing_can_be_added_changed_or_deleted() -> None:
    run, row = make_run()
    client = signed_in(superuser())
    for model, key in (("run", run.pk), ("row", row.pk)):
        name = f"admin:payments_reconciliation{model}"
        assert client.get(reverse(f"{name}_add")).status_code == 403
        assert client.post(reverse(f"{name}_delete", args=[key])).status_code == 403
        assert client.post(reverse(f"{name}_change", args=[key]), {}).status_code == 403


def test_a_row_is_explained_by_who_may() -> None:
    run, row = make_run()
    address = reverse("admin:payments_reconciliationrow_explain", args=[row.pk])
    body = {"_form_submitted": "on", "reason": "A test payment of theirs."}
    signed_in(make_staff("payments.view_reconciliationrow")).post(address, body)
    row.refresh_from_db()
    assert row.explained_at is None
    acting = make_staff("payments.view_reconciliationrow", "payments.explain_row")
    for _ in range(2):
        signed_in(acting).post(address, body)
        row.refresh_from_db()
        assert (row.explained_by_id, row.explanation) == (acting.pk, "A test payment of theirs.")
    [record] = AuditRecord.objects.filter(subject_id=run.pk)
    assert (record.action, record.actor_id) == ("reconciliation_row.explained", acting.pk)


def test_an_address_without_a_row_is_404() -> None:
    client = signed_in(superuser())
    for key in ("x", "9" * 30):
        address = reverse("admin:payments_reconciliationrow_explain", args=[key])
        answer = client.post(address, {"_form_submitted": "on", "reason": "x"})
        assert answer.status_code in {302, 404}
