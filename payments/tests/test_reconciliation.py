"""Settlement reports beside what we know: what is missing, extra or differing is said, nothing else."""

import datetime
import io
import itertools
import json
import tracemalloc
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from pytest_django.fixtures import Settings

from events.models import AuditRecord
from fintech_core.exceptions import InvalidInput, NotFound
from fintech_core.fields import uuid7
from fintech_core.money import Money
from payments import services
from payments.models import (
    PaymentIntent,
    PaymentIssue,
    Payout,
    ReconciliationRow,
    ReconciliationRun,
    Refund,
)
from payments.providers import registry
from payments.providers.base import (
    PaymentState,
    PayoutState,
    Provider,
    ProviderUnavailable,
    RefundState,
    SettlementRow,
)
from payments.services import reconciliation
from payments.services.reconciliation import (
    RowExplained,
    explain_row,
    list_unmatched,
    reconcile_recent_days,
    reconcile_with_file,
    reconcile_with_provider,
)
from payments.services.settlement_files import InvalidReport, SettlementFile
from payments.tests.fakes import (
    FakeProvider,
    make_intent,
    make_paid_intent,
    make_payout,
    make_refund,
)
from transactions.tests.factories import make_payee, make_payer
from users.tests.factories import make_staff

pytestmark = pytest.mark.usefixtures("committed")

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def today() -> datetime.date:
    return now().date()


class Reporting(FakeProvider):
    """A provider of one test alone, with the report that the test writes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[SettlementRow] = []
        self.asked: list[tuple[datetime.date, datetime.date]] = []

    def settlement_report(self, first: Any, last: Any) -> Iterator[SettlementRow]:
        self.asked.append((first, last))
        for line in self.lines:
            if first <= line.settled_at.date() <= last:
                yield line
        if self.away:
            raise ProviderUnavailable

    def settle(self, about: PaymentIntent | Refund | Payout, **changes: Any) -> None:
        """A line of the report, as it should be unless told otherwise."""
        is_intent = isinstance(about, PaymentIntent)
        values: dict[str, Any] = {
            "kind": "payment" if is_intent else type(about).__name__.lower(),
            "reference": about.provider_reference,
            "own_id": about.pk,
            "amount": about.money if is_intent else -about.money,
            "fee": Money(Decimal("0.30") * is_intent, about.currency),
            "settled_at": now(),
            **changes,
        }
        self.lines.append(SettlementRow(**values))


@pytest.fixture
def fake(settings: Settings) -> Iterator[Reporting]:
    made = type("Own", (Reporting,), {"name": f"fake{uuid.uuid4().hex[:8]}"})()
    settings.DEFAULT_PAYMENT_PROVIDER = made.name
    settings.PAYMENT_PROVIDERS = []
    checked: Provider = made
    with registry.registered(checked):
        yield made


def reconcile(fake: Reporting, back: int = 0) -> ReconciliationRun:
    day = today() - back * DAY
    return reconcile_with_provider(provider=fake.name, first=day, last=day)


def odd(run: ReconciliationRun) -> list[tuple[str, str, str]]:
    return [(row.outcome, row.reason, row.reference) for row in list_unmatched(run)]


def sums(run: ReconciliationRun) -> dict[str, str]:
    [totals] = run.totals
    return totals


def refunded(fake: Reporting, state: RefundState = RefundState.SUCCEEDED) -> Refund:
    fake.refunded_becomes = state
    intent = make_paid_intent(fake)
    fake.settle(intent)
    refund = make_refund(intent, "5.00")
    services.check_refund(refund.pk)
    refund.refresh_from_db()
    return refund


def paid_out(fake: Reporting, state: PayoutState = PayoutState.PAID) -> Payout:
    fake.paid_out_becomes = state
    payout = make_payout(make_payer("50.00"))
    services.check_payout(payout.pk)
    payout.refresh_from_db()
    return payout


def test_what_both_sides_say_is_matched_and_the_sums_agree(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent)
    refund, payout = refunded(fake), paid_out(fake)
    fake.settle(refund)
    fake.settle(payout)
    run = reconcile(fake)
    assert (odd(run), run.is_clean, run.matched_count, run.line_count) == ([], True, 4, 4)
    assert sums(run) == {
        "currency": "USD",
        "ledger": "35.00",
        "report": "35.00",
        "difference": "0.00",
        "unmatched": "0.00",
        "timing": "0.00",
        "unattributed": "0.00",
        "fees": "0.60",
    }
    row = run.rows.get(subject_id=payout.pk)
    assert (row.own_amount, row.reported_amount) == (Decimal("-10.00"), Decimal("-10.00"))
    assert (row.own_status, row.kind, row.reference) == (
        "paid",
        "payout",
        payout.provider_reference,
    )
    assert row.posted_at is not None


def test_what_the_report_does_not_have_is_missing(fake: Reporting) -> None:
    intent, refund, payout = make_paid_intent(fake), refunded(fake), paid_out(fake)
    run = reconcile(fake)
    assert sorted(odd(run)) == sorted(
        ("missing", "", about.provider_reference) for about in (intent, refund, payout)
    )
    assert (run.missing_count, run.matched_count, run.is_clean) == (3, 1, False)
    assert (sums(run)["difference"], sums(run)["unmatched"], sums(run)["timing"]) == (
        "-10.00",
        "-10.00",
        "0.00",
    )


def test_what_we_do_not_have_is_extra(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent)
    fake.settle(intent, reference="pay_unheard_of", own_id=None)
    fake.settle(intent, reference="dp_1", kind="other", amount=Money(Decimal("-15.00"), "USD"))
    run = reconcile(fake)
    assert sorted(odd(run)) == [("extra", "", "dp_1"), ("extra", "", "pay_unheard_of")]
    assert (sums(run)["difference"], sums(run)["unmatched"]) == ("10.00", "10.00")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": Money(Decimal("24.99"), "USD")}, "amount"),
        ({"amount": Money(Decimal("-25.00"), "USD")}, "state"),
        ({"amount": Money(Decimal("0.00"), "USD")}, "state"),
        (
            {"amount": Money(Decimal("25.00"), "EUR"), "fee": Money(Decimal(0), "EUR")},
            "currency",
        ),
        ({"reference": "pay_another"}, "reference"),
    ],
)
def test_what_is_not_the_same_is_differing(
    fake: Reporting, changes: dict[str, Any], reason: str
) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent, **changes)
    run = reconcile(fake)
    told = [(row.outcome, row.reason, row.subject_id) for row in list_unmatched(run)]
    assert told == [("differing", reason, intent.pk)]


def test_a_line_that_is_there_twice_differs(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent)
    fake.settle(intent)
    run = reconcile(fake)
    [row] = list_unmatched(run)
    assert (row.reason, row.reported_amount, row.line_count) == ("amount", Decimal("50.00"), 2)


def test_a_payment_that_we_do_not_think_paid_differs(fake: Reporting) -> None:
    """The worst of all: the money is there, and nobody was credited."""
    intents = [make_intent() for _ in range(2)]
    fake.become(fake.payment_of(intents[1]), PaymentState.CANCELED)
    services.apply_payment(fake.name, fake.payment_of(intents[1]), fetched=True)
    for intent in intents:
        fake.settle(intent)
    assert [reason for _, reason, _ in odd(reconcile(fake))] == ["state", "state"]


def test_what_is_still_on_its_way_is_no_alarm(fake: Reporting) -> None:
    refund, payout = refunded(fake, RefundState.PENDING), paid_out(fake, PayoutState.IN_TRANSIT)
    make_intent()
    run = reconcile(fake)
    assert (odd(run), run.matched_count) == ([], 1)
    assert sums(run)["timing"] == "5.00"
    fake.settle(refund)
    fake.settle(payout)
    again = reconcile(fake)
    assert (odd(again), again.matched_count) == ([], 3)
    assert sums(again)["timing"] == "-10.00"


def test_what_left_and_came_back_is_matched(fake: Reporting) -> None:
    payout = paid_out(fake, PayoutState.FAILED)
    fake.settle(payout)
    assert odd(reconcile(fake)) == [("differing", "state", payout.provider_reference)]
    fake.settle(payout, amount=payout.money)
    assert odd(reconcile(fake)) == []


def test_what_came_back_on_another_day_is_matched(fake: Reporting) -> None:
    payout = paid_out(fake, PayoutState.FAILED)
    fake.settle(payout, settled_at=now() - 5 * DAY)
    assert odd(reconcile(fake, back=5)) == [("differing", "state", payout.provider_reference)]
    fake.settle(payout, amount=payout.money)
    assert odd(reconcile(fake)) == []
    assert odd(reconcile(fake, back=5)) == []


@pytest.mark.parametrize("late", [-1, 1])
def test_what_is_settled_a_day_apart_is_no_alarm_and_tells_the_day(
    fake: Reporting, late: int
) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent, settled_at=now() + late * DAY)
    run = reconcile(fake)
    assert (odd(run), fake.asked) == ([], [(today() - DAY, today() + DAY)])
    [row] = run.rows.all()
    assert row.settled_at is not None
    assert row.posted_at is not None
    assert row.settled_at.date() - row.posted_at.date() == late * DAY
    assert (sums(run)["difference"], sums(run)["timing"]) == ("-25.00", "-25.00")


def test_the_day_around_says_nothing_of_itself(fake: Reporting) -> None:
    """What is extra there, its own day's run says."""
    intent = make_paid_intent(fake)
    fake.settle(intent)
    fake.settle(intent, reference="pay_other", own_id=None, settled_at=now() - DAY)
    run = reconcile(fake)
    assert (odd(run), run.line_count) == ([], 2)
    assert odd(reconcile(fake, back=1)) == [("extra", "", "pay_other")]


def test_what_an_earlier_run_has_seen_is_not_missing_later(fake: Reporting) -> None:
    """A payout is settled when it is sent, and paid days after."""
    payout = paid_out(fake)
    fake.settle(payout, settled_at=now() - 4 * DAY)
    assert odd(reconcile(fake)) == [("missing", "", payout.provider_reference)]
    assert odd(reconcile(fake, back=4)) == []
    assert odd(reconcile(fake)) == []


def test_a_posting_that_belongs_to_no_payment_is_told(fake: Reporting) -> None:
    services.record_deposit(
        provider=fake.name,
        user=make_payee(),
        amount=Money(Decimal("7.00"), "USD"),
        reference=uuid.uuid4().hex,
    )
    run = reconcile(fake)
    assert (odd(run), run.is_clean) == ([], False)
    assert (sums(run)["unattributed"], sums(run)["timing"]) == ("7.00", "0.00")


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


HEADER = "kind,reference,own_id,amount,fee,currency,settled_at\n"


def from_file(fake: Reporting, text: str) -> ReconciliationRun:
    return reconcile_with_file(
        provider=fake.name,
        first=today(),
        last=today(),
        file=io.BytesIO(text.encode()),
        name="report.csv",
    )


def test_a_file_says_the_same(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    text = f"{HEADER}payment,{intent.provider_reference},,25.00,0.60,USD,{now().isoformat()}\r\n"
    run = from_file(fake, text)
    assert (run.source, run.file_name, run.matched_count, run.is_clean) == (
        "file",
        "report.csv",
        1,
        True,
    )
    file = SettlementFile(io.BytesIO(text.encode()))
    assert len(list(file)) == 1
    assert bytes(run.digest) == file.digest


GOOD = "payment,pay_1,,25.00,0.60,USD,2026-01-31T10:00:00Z"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (GOOD.replace("payment", "gift"), "kind"),
        (GOOD.replace("pay_1", ""), "reference"),
        (GOOD.replace("pay_1", "a b"), "reference"),
        (GOOD.replace("pay_1", "x" * 256), "reference"),
        (GOOD.replace("pay_1,", "pay_1,123"), "own_id"),
        (GOOD.replace("25.00", "25.001"), "amount"),
        (GOOD.replace("25.00", "2e1"), "amount"),
        (GOOD.replace("25.00", "NaN"), "amount"),
        (GOOD.replace("25.00", "+25"), "amount"),
        (GOOD.replace("25.00", "٢٥"), "amount"),
        (GOOD.replace("0.60", ""), "fee"),
        (GOOD.replace("USD", "usd"), "three upper-case"),
        (GOOD.replace("Z", ""), "settled_at"),
        (GOOD.replace("01-31", "02-31"), "settled_at"),
        (GOOD.replace("2026-01-31", "0001-01-01").replace("Z", "+23:00"), "settled_at"),
        (GOOD + ",more", "8 columns"),
        ("", "0 columns"),
        ('"' + GOOD, "line 3"),
        (GOOD.replace("pay_1", "\0"), "NUL"),
        ("x" * 5_000, "longer"),
    ],
)
def test_each_bad_line_is_named_and_nothing_is_kept(fake: Reporting, line: str, word: str) -> None:
    with pytest.raises(InvalidReport) as refusal:
        from_file(fake, f"{HEADER}{GOOD}\n{line}\n")
    [problem] = refusal.value.problems
    assert problem.startswith("line 3")
    assert word in problem
    assert not ReconciliationRun.objects.filter(provider=fake.name).exists()


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", GOOD.encode(), b"\xef\xbb\xbf" + HEADER.encode()]
)
def test_a_file_begins_with_the_header(fake: Reporting, text: bytes) -> None:
    with pytest.raises(InvalidReport, match="line 1"):
        list(SettlementFile(io.BytesIO(text)))


def test_at_most_a_hundred_lines_are_named() -> None:
    file = io.BytesIO((HEADER + "nonsense\n" * 5_000).encode())
    with pytest.raises(InvalidReport) as refusal:
        list(SettlementFile(file))
    assert len(refusal.value.problems) == 100


def run_command(fake: Reporting, *options: str) -> str:
    out = io.StringIO()
    days = ["--from", str(today()), "--to", str(today())]
    try:
        call_command("reconcile_provider", fake.name, *days, *options, stdout=out)
    except CommandError as error:
        return f"{out.getvalue()}\nexit {error.returncode}"
    return out.getvalue()


def test_the_command_prints_every_row_that_is_not_matched(fake: Reporting) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent)
    told = run_command(fake)
    assert "1 matched, 0 missing, 0 extra, 0 differing" in told
    assert "exit" not in told
    missing = make_paid_intent(fake)
    fake.settle(intent, reference="pay_odd", own_id=None)
    told = run_command(fake)
    assert told.endswith("exit 1")
    assert f"missing   payment {missing.provider_reference}: ours 25.00 USD succeeded" in told
    assert "extra     payment pay_odd: report 25.00 USD on" in told


def test_the_command_writes_json(fake: Reporting, tmp_path: Path) -> None:
    intent = make_paid_intent(fake)
    fake.settle(intent, amount=Money(Decimal("24.00"), "USD"))
    told = json.loads(run_command(fake, "--json").removesuffix("\nexit 1"))
    assert (told["clean"], told["counts"]["differing"]) == (False, 1)
    [row] = told["rows"]
    assert (row["reason"], row["reported"]["amount"], row["own"]["amount"]) == (
        "amount",
        "24.00",
        "25.00",
    )
    fake.lines.clear()
    path = tmp_path / "report.csv"
    path.write_text(
        f"{HEADER}payment,{intent.provider_reference},,25.00,0,USD,{now().isoformat()}\n"
    )
    told = json.loads(run_command(fake, "--json", "--file", str(path)))
    assert (told["clean"], told["rows"], told["source"]) == (True, [], "file")
    path.write_text("nonsense")
    assert run_command(fake, "--file", str(path)).endswith("exit 2")
    assert run_command(fake, "--file", str(tmp_path / "none.csv")).endswith("exit 2")


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
