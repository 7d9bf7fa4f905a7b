"""Issues: what a person must look at is noted once, and resolved on record."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import PermissionDenied
from django.db import ProgrammingError, connections, transaction

from events.models import AuditRecord
from fintech_core.exceptions import InvalidInput
from payments.models import PaymentIssue
from payments.services.issues import IssueResolved, open_issue, resolve_issue
from users.tests.factories import make_staff, make_user

pytestmark = pytest.mark.usefixtures("committed")


def noted(reference: str) -> PaymentIssue:
    assert open_issue(kind="amount_mismatch", provider="simulator", reference=reference)
    return PaymentIssue.objects.get(reference=reference)


def test_the_same_is_noted_once_while_it_is_open() -> None:
    reference = uuid.uuid4().hex
    noted(reference)
    assert not open_issue(kind="amount_mismatch", provider="simulator", reference=reference)
    assert open_issue(kind="late_money", provider="simulator", reference=reference)


def test_the_same_noted_at_once_is_noted_once() -> None:
    reference = uuid.uuid4().hex

    def note(_: int) -> bool:
        try:
            return open_issue(kind="amount_mismatch", provider="simulator", reference=reference)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(note, range(16))) == 1


def test_an_issue_goes_with_the_transaction_that_noted_it() -> None:
    reference = uuid.uuid4().hex
    with transaction.atomic():
        open_issue(kind="amount_mismatch", provider="simulator", reference=reference)
        transaction.set_rollback(True)
    assert not PaymentIssue.objects.filter(reference=reference).exists()


def test_resolving_says_who_and_how_and_goes_on_record() -> None:
    issue, operator = noted(uuid.uuid4().hex), make_staff("payments.resolve_issue")
    resolve_issue(issue_id=issue.pk, acting_user=operator, resolution="Paid back by hand.")
    issue.refresh_from_db()
    assert (issue.resolved_by_id, issue.resolution) == (operator.pk, "Paid back by hand.")
    record = AuditRecord.objects.get(subject_type="payment_issue", subject_id=issue.pk)
    assert (record.actor_id, record.reason) == (operator.pk, "Paid back by hand.")
    with pytest.raises(IssueResolved):
        resolve_issue(issue_id=issue.pk, acting_user=operator, resolution="Again.")
    # What happens once more is noted once more.
    assert open_issue(kind=issue.kind, provider=issue.provider, reference=issue.reference)


def test_only_who_may_resolves_and_not_without_a_word() -> None:
    issue, operator = noted(uuid.uuid4().hex), make_staff("payments.resolve_issue")
    with pytest.raises(PermissionDenied):
        resolve_issue(issue_id=issue.pk, acting_user=make_user(), resolution="Mine.")
    with pytest.raises(InvalidInput):
        resolve_issue(issue_id=issue.pk, acting_user=operator, resolution=" ")
    issue.refresh_from_db()
    assert issue.resolved_at is None


def test_an_issue_is_never_rewritten_or_removed() -> None:
    issue = noted(uuid.uuid4().hex)
    with pytest.raises(ProgrammingError, match="permission denied"):
        PaymentIssue.objects.filter(pk=issue.pk).update(facts={})
    with pytest.raises(ProgrammingError, match="permission denied"):
        PaymentIssue.objects.filter(pk=issue.pk).delete()
