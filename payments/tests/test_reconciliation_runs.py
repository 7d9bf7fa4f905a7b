"""Runs of a reconciliation: one counts, none is changed, what is odd in it is explained on record."""

import itertools
import tracemalloc
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection

from events.models import AuditRecord
from fintech_core.exceptions import InvalidInput, NotFound
from fintech_core.fields import uuid7
from fintech_core.money import Money
from payments.models import PaymentIssue, ReconciliationRow, ReconciliationRun
from payments.providers.base import ProviderUnavailable, SettlementRow
from payments.services import reconciliation
from payments.services.reconciliation import (
    RowExplained,
    explain_row,
    list_unmatched,
    reconcile_recent_days,
    reconcile_with_provider,
)
from payments.tests.fakes import make_paid_intent
from payments.tests.reporting import DAY, Reporting, fake, now, reconcile, today
from transactions.tests.factories import make_payee
from users.tests.factories import at_once, make_staff

__all__ = ["fake"]

pytestmark = pytest.mark.usefixtures("committed")


def test_a_run_supersedes_the_one_of_the_same_days(fake: Reporting) -> None:
    first = reconcile(fake)
    second = reconcile(fake)
    other = reconcile_with_provider(provider=fake.name, first=today() - DAY, last=today())
    assert (first.supersedes_id, second.supersedes_id, other.supersedes_id) == (
        None,
        first.pk,
        None,
    )
    assert reconcile(fake).supersedes_id == second.pk
    assert first.digest == second.digest


def test_of_runs_at_once_one_counts(fake: Reporting) -> None:
    """Each supersedes the one before it, in some order."""
    fake.settle(make_paid_intent(fake))
    runs = at_once(5, lambda _: reconcile(fake))
    assert [run.matched_count for run in runs] == [1] * 5
    assert len({run.supersedes_id for run in runs}) == 5
    assert reconciliation.current_runs().filter(provider=fake.name).count() == 1


def test_a_row_that_two_explain_at_once_is_explained_by_one(fake: Reporting) -> None:
    make_paid_intent(fake)
    run = reconcile(fake)
    [row] = list_unmatched(run)
    staff = make_staff("payments.explain_row")

    def act(number: int) -> bool:
        try:
            explain_row(row_id=row.pk, acting_user=staff, reason=f"Reason {number}.")
        except RowExplained:
            return False
        return True

    assert sorted(at_once(5, act)) == [False] * 4 + [True]
    assert AuditRecord.objects.filter(subject_id=run.pk).count() == 1


def test_a_report_that_breaks_off_leaves_nothing(fake: Reporting) -> None:
    fake.settle(make_paid_intent(fake))
    fake.away = True
    with pytest.raises(ProviderUnavailable):
        reconcile(fake)
    assert not ReconciliationRun.objects.filter(provider=fake.name).exists()


@pytest.mark.parametrize(("first", "last"), [(0, -1), (1, 1), (-400, 0)])
def test_days_have_to_make_sense(fake: Reporting, first: int, last: int) -> None:
    days = {"first": today() + first * DAY, "last": today() + last * DAY}
    with pytest.raises(InvalidInput):
        reconcile_with_provider(provider=fake.name, **days)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments_reconciliationrun SET is_clean = true WHERE id = %s",
        "DELETE FROM payments_reconciliationrun WHERE id = %s",
        "UPDATE payments_reconciliationrow SET outcome = 'matched' WHERE run_id = %s",
        "DELETE FROM payments_reconciliationrow WHERE run_id = %s",
    ],
)
def test_a_run_is_never_changed_by_anybody(
    fake: Reporting, owner: psycopg.Connection[Any], statement: str
) -> None:
    make_paid_intent(fake)
    run = reconcile(fake)
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute(statement, [run.pk])
    with pytest.raises(psycopg.errors.IntegrityError):
        owner.execute(statement, [run.pk])


def test_a_row_is_explained_once_and_on_record(fake: Reporting) -> None:
    make_paid_intent(fake)
    run = reconcile(fake)
    [row] = list_unmatched(run)
    staff = make_staff("payments.explain_row")
    with pytest.raises(PermissionDenied):
        explain_row(row_id=row.pk, acting_user=make_payee(), reason="I say so")
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(InvalidInput):
            explain_row(row_id=row.pk, acting_user=staff, reason=reason)
    with pytest.raises(NotFound):
        explain_row(row_id=2**62, acting_user=staff, reason="nothing")
    explained = explain_row(row_id=row.pk, acting_user=staff, reason="Their outage of Monday.")
    assert explained.explained_by_id == staff.pk
    with pytest.raises(RowExplained):
        explain_row(row_id=row.pk, acting_user=staff, reason="Another reason.")
    record = AuditRecord.objects.get(subject_id=run.pk)
    assert (record.action, record.actor_id) == ("reconciliation_row.explained", staff.pk)
    assert (record.reason, record.before["row"]) == ("Their outage of Monday.", row.pk)


def test_each_morning_what_was_missed_is_made_up_for(
    fake: Reporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.away = True
    assert reconcile_recent_days() == 0
    fake.away = False
    assert reconcile_recent_days() == 3
    assert reconcile_recent_days() == 0
    runs = ReconciliationRun.objects.filter(provider=fake.name).order_by("pk")
    assert [run.first_on for run in runs] == [today() - n * DAY for n in (3, 2, 1)]


def test_what_differs_is_flagged(fake: Reporting) -> None:
    extra = make_paid_intent(fake)
    fake.settle(extra, settled_at=now() - DAY)
    fake.settle(extra, reference="pay_odd", own_id=None, settled_at=now() - DAY)
    reconcile_recent_days()
    [issue] = PaymentIssue.objects.filter(provider=fake.name)
    assert issue.kind == "reconciliation_differs"
    assert issue.facts["counts"] == {"matched": 1, "missing": 0, "extra": 1, "differing": 0}


def test_a_long_report_takes_little_memory(fake: Reporting, statements: list[str]) -> None:
    """And the number of statements does not grow with what it says."""
    line = SettlementRow(
        kind="payment",
        reference="pay_",
        own_id=None,
        amount=Money(Decimal("1.00"), "USD"),
        fee=Money(Decimal(0), "USD"),
        settled_at=now(),
    )
    numbers = itertools.count()
    lines = (
        SettlementRow(
            "payment", f"pay_{next(numbers)}", uuid7(), line.amount, line.fee, line.settled_at
        )
        for _ in range(20_000)
    )
    fake.settlement_report = lambda first, last: lines  # type: ignore[method-assign]
    tracemalloc.start()
    run = reconcile(fake)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert run.extra_count == 20_000
    assert peak < 20_000_000
    assert len(statements) < 40
    assert ReconciliationRow.objects.filter(run=run).count() == 20_000
    assert reconciliation.counts_of(run)["extra"] == 20_000
