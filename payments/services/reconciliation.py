"""Comparing what a provider says it moved with what we know of it.

The report is read in pieces into a temporary table, outside a transaction, since the provider may be
asked meanwhile; ``match_report()`` of ``payments/sql/reconciliation.sql`` does the rest in sets. So
a run takes little memory, however long the report is.
"""

import contextlib
import datetime
import hashlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, BinaryIO

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Count, QuerySet
from django.utils import timezone

from events.services import record_audit
from fintech_core.calls import call
from fintech_core.database import allow_statement
from fintech_core.exceptions import DomainError, InvalidInput, NotFound
from fintech_core.fields import uuid7
from fintech_core.money import format_amount
from payments.models import (
    ReconciliationRow,
    ReconciliationRun,
    ReportSource,
    RowOutcome,
)
from payments.providers.base import ProviderUnavailable, SettlementRow
from payments.providers.registry import enabled_providers, get_provider
from payments.services.issues import open_issue
from payments.services.settlement_files import SettlementFile
from users.models import User

logger = logging.getLogger(__name__)

EXPLAIN = "payments.explain_row"
EXPLANATION_MAX_LENGTH = 500

# What is posted on one day may be settled on the next, or be told of as of the day before.
MARGIN = datetime.timedelta(days=1)
LONGEST = datetime.timedelta(days=366)
# Days that the daily task makes up for.
_LOOKS_BACK = 3
# A refund is posted before it succeeds; one that succeeds later than this is not missed.
_LATE_DAYS = 30
_LINES_AT_ONCE = 2_000
_MATCHING_SECONDS = 600


class RowExplained(DomainError):
    """409: somebody has explained the row already, or there is nothing to explain."""

    status = 409
    code = "invalid_state"
    title = "The row needs no explanation any more."


@dataclass(frozen=True, slots=True)
class Totals:
    """How the sums of the run's days compare in one currency; positive is what came to the provider.

    ``ledger`` is what was posted at the provider's wallet, ``unattributed`` what of it belongs to no
    payment, ``report`` what the provider says, before its ``fees``; ``unmatched`` is what the rows that
    are not matched account for, and ``timing`` the rest of the difference: settled on another day, or
    still on its way.
    """

    currency: str
    ledger: Decimal
    unattributed: Decimal
    report: Decimal
    fees: Decimal
    unmatched: Decimal

    @property
    def difference(self) -> Decimal:
        return self.report - self.ledger

    @property
    def timing(self) -> Decimal:
        return self.difference - self.unmatched + self.unattributed

    def as_dict(self) -> dict[str, str]:
        """Texts, as the API writes amounts."""
        names = ("ledger", "report", "difference", "unmatched", "timing", "unattributed", "fees")
        texts = {name: format_amount(getattr(self, name), self.currency) for name in names}
        return {"currency": self.currency, **texts}


def reconcile_with_provider(
    *, provider: str, first: datetime.date, last: datetime.date
) -> ReconciliationRun:
    """Ask the provider for its report of these UTC days and keep how it compares.

    Raises ``UnknownProvider``, ``InvalidInput`` for days that are none, and
    ``ProviderUnavailable``: then nothing is kept.
    """
    _require_days(first, last)
    adapter = get_provider(provider)
    digest = hashlib.sha256()
    lines = _digested(adapter.settlement_report(first - MARGIN, last + MARGIN), digest)
    with _staged(lines, first, last) as count:
        return _keep(provider, first, last, ReportSource.PROVIDER, "", digest.digest(), count)


def reconcile_with_file(
    *, provider: str, first: datetime.date, last: datetime.date, file: BinaryIO, name: str
) -> ReconciliationRun:
    """The same with a report in a file (``settlement_files``); the provider needs not be switched on.

    A file of the same days only may leave edges: the day after them settles what was posted last.
    Raises ``InvalidInput``, and ``InvalidReport`` naming each bad line: then nothing is kept.
    """
    _require_days(first, last)
    report = SettlementFile(file)
    with _staged(report, first, last) as count:
        return _keep(provider, first, last, ReportSource.FILE, name[-255:], report.digest, count)


def reconcile_recent_days() -> int:
    """Reconcile yesterday with each provider that is switched on, and days before that were missed.

    What differs is flagged for an operator, once per provider and day. Returns how many runs were made;
    harmless when run again.
    """
    today = timezone.now().astimezone(datetime.UTC).date()
    made = 0
    for provider in enabled_providers():
        for back in range(_LOOKS_BACK, 0, -1):
            day = today - datetime.timedelta(days=back)
            if _is_covered(provider, day):
                continue
            try:
                run = reconcile_with_provider(provider=provider, first=day, last=day)
            except ProviderUnavailable:
                logger.warning("reconciliation_put_off", extra={"provider": provider})
                break
            made += 1
            flag_differences(run)
    return made


def flag_differences(run: ReconciliationRun) -> bool:
    """Have an operator look at a run that is not clean; returns whether it was flagged now."""
    if run.is_clean:
        return False
    return open_issue(
        kind="reconciliation_differs",
        provider=run.provider,
        subject_type="reconciliation_run",
        subject_id=run.pk,
        reference=f"{run.first_on}/{run.last_on}",
        facts={"counts": counts_of(run), "totals": run.totals},
    )


def explain_row(*, row_id: int, acting_user: User, reason: str) -> ReconciliationRow:
    """Say why a row is not matched, on record and once.

    Raises ``NotFound``, ``RowExplained``, ``InvalidInput`` without a reason, and
    ``PermissionDenied`` for who does not hold ``payments.explain_row``.
    """
    if not acting_user.has_perm(EXPLAIN):
        raise PermissionDenied
    if not reason.strip() or len(reason) > EXPLANATION_MAX_LENGTH:
        text = f"Say why, in at most {EXPLANATION_MAX_LENGTH} characters."
        raise InvalidInput({"reason": [text]})
    with transaction.atomic(durable=True):
        row = ReconciliationRow.objects.select_for_update(no_key=True).filter(pk=row_id).first()
        if row is None:
            raise NotFound
        if row.explained_at is not None or row.outcome == RowOutcome.MATCHED:
            raise RowExplained
        row.explained_at, row.explained_by = timezone.now(), acting_user
        row.explanation = reason
        row.save(update_fields=["explained_at", "explained_by", "explanation"])
        record_audit(
            action="reconciliation_row.explained",
            subject_type="reconciliation_run",
            subject_id=row.run_id,
            actor_id=acting_user.pk,
            before={"row": row.pk, "outcome": row.outcome, "reference": row.reference},
            reason=reason,
        )
    return row


def list_unmatched(run: ReconciliationRun) -> Iterator[ReconciliationRow]:
    """The rows of a run that are not matched, a thousand in memory at a time."""
    after = 0
    unmatched = run.rows.exclude(outcome=RowOutcome.MATCHED).order_by("pk")
    while page := list(unmatched.filter(pk__gt=after)[:1_000]):
        yield from page
        after = page[-1].pk


def counts_of(run: ReconciliationRun) -> dict[str, int]:
    """How many rows have which outcome."""
    return {outcome.value: getattr(run, f"{outcome.value}_count") for outcome in RowOutcome}


def current_runs() -> QuerySet[ReconciliationRun]:
    """The runs that no other supersedes."""
    return ReconciliationRun.objects.filter(superseded_by__isnull=True)


def _require_days(first: datetime.date, last: datetime.date) -> None:
    today = timezone.now().astimezone(datetime.UTC).date()
    if not datetime.date(2000, 1, 1) <= first <= last <= today:
        raise InvalidInput({"to": ["The days are in order, and not after today."]})
    if last - first >= LONGEST:
        raise InvalidInput({"to": [f"At most {LONGEST.days} days at a time."]})


def _is_covered(provider: str, day: datetime.date) -> bool:
    runs = ReconciliationRun.objects.filter(provider=provider)
    return runs.filter(first_on__lte=day, last_on__gte=day).exists()


def _digested(lines: Iterable[SettlementRow], digest: Any) -> Iterator[SettlementRow]:
    for line in lines:
        cells = (line.kind, line.reference, line.own_id or "", line.amount, line.fee)
        told = [*map(str, cells), line.amount.currency, line.settled_at.isoformat()]
        digest.update((",".join(told) + "\n").encode())
        yield line


@contextlib.contextmanager
def _staged(
    lines: Iterable[SettlementRow], first: datetime.date, last: datetime.date
) -> Iterator[int]:
    """The lines around these days, in the temporary table ``report_line``; gives how many they are."""
    starts = _midnight(first - MARGIN)
    ends = _midnight(last + MARGIN + datetime.timedelta(days=1))
    _execute("DROP TABLE IF EXISTS pg_temp.report_line")
    _execute(
        "CREATE TEMPORARY TABLE report_line (kind text, reference text, own_id uuid,"
        " amount numeric, fee numeric, currency text, settled_at timestamptz)"
    )
    try:
        count, rest = 0, iter(lines)
        while piece := list(itertools.islice(rest, _LINES_AT_ONCE)):
            fitting = [line for line in piece if starts <= line.settled_at < ends]
            _copy(fitting)
            count += len(fitting)
        yield count
    finally:
        _execute("DROP TABLE IF EXISTS pg_temp.report_line")


def _copy(lines: list[SettlementRow]) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY pg_temp.report_line FROM STDIN") as copy:
        for line in lines:
            money = (line.amount.amount, line.fee.amount, line.amount.currency)
            copy.write_row((line.kind, line.reference, line.own_id, *money, line.settled_at))


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _keep(
    provider: str,
    first: datetime.date,
    last: datetime.date,
    source: ReportSource,
    file_name: str,
    digest: bytes,
    line_count: int,
) -> ReconciliationRun:
    """Compare what is staged, and write the run and its rows in one transaction."""
    run_id = uuid7()
    with transaction.atomic(durable=True):
        allow_statement(_MATCHING_SECONDS)
        with connection.cursor() as cursor:
            # One at a time per provider: the later one supersedes the other.
            key = f"payments.reconcile {provider}"
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
            cursor.execute("ANALYZE pg_temp.report_line")
        found = call("match_report", run_id, provider, first, last, _LATE_DAYS)
        totals = [Totals(*row) for row in found]
        counts = dict(
            ReconciliationRow.objects.filter(run_id=run_id)
            .values_list("outcome")
            .annotate(Count("pk"))
        )
        is_clean = set(counts) <= {RowOutcome.MATCHED.value}
        return ReconciliationRun.objects.create(
            id=run_id,
            provider=provider,
            first_on=first,
            last_on=last,
            source=source,
            file_name=file_name,
            digest=digest,
            line_count=line_count,
            totals=[one.as_dict() for one in totals],
            is_clean=is_clean and not any(one.unattributed for one in totals),
            supersedes=current_runs()
            .filter(provider=provider, first_on=first, last_on=last)
            .first(),
            **{f"{outcome.value}_count": counts.get(outcome.value, 0) for outcome in RowOutcome},
        )


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)
