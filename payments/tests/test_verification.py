"""``payments_verify``: payments beside the ledger, and what is flagged where they disagree."""

import uuid
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command

from payments.models import PaymentIssue
from payments.reconciliation_tasks import verify_task
from payments.tests.fakes import FakeProvider, make_paid_intent

pytestmark = pytest.mark.usefixtures("committed")


def test_what_agrees_is_said_to(fake: FakeProvider) -> None:
    make_paid_intent(fake)
    out = StringIO()
    call_command("payments_verify", stdout=out)
    assert out.getvalue() == "Payments and the ledger agree.\n"


def test_what_does_not_agree_is_named_and_flagged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = str(uuid.uuid4())
    found = [("I14 succeeded is one deposit of exactly the amount", subject)]
    monkeypatch.setattr("payments.services.verification.list_payment_violations", lambda: found)
    out = StringIO()
    with pytest.raises(CommandError, match="1 do not agree"):
        call_command("payments_verify", stdout=out)
    assert out.getvalue() == f"{subject}: {found[0][0]}\n"
    assert verify_task() == 1
    [issue] = PaymentIssue.objects.filter(reference=subject)
    assert (issue.kind, issue.facts) == ("invariant_broken", {"invariant": found[0][0]})


def test_an_intent_changed_behind_the_triggers_is_found(
    fake: FakeProvider, owner: psycopg.Connection
) -> None:
    intent = make_paid_intent(fake)
    owner.execute("ALTER TABLE payments_paymentintent DISABLE TRIGGER ALL")
    owner.execute(
        "UPDATE payments_paymentintent SET amount = amount + 1 WHERE id = %s", [intent.pk]
    )
    found = owner.execute("SELECT invariant, subject FROM payment_violations()").fetchall()
    owner.rollback()
    assert found == [("I14 succeeded is one deposit of exactly the amount", str(intent.pk))]
