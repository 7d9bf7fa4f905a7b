"""``manage.py reconcile_provider``: what a provider says it moved beside what we know."""

import datetime
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from fintech_core.exceptions import DomainError
from payments.models import ReconciliationRow, ReconciliationRun
from payments.services import reconciliation
from payments.services.settlement_files import InvalidReport


class Command(BaseCommand):
    help = "Compare a provider's settlement report with payments, refunds, payouts and wallets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider")
        for name, dest in (("--from", "first"), ("--to", "last")):
            parser.add_argument(
                name, dest=dest, required=True, type=datetime.date.fromisoformat, help="a UTC day"
            )
        parser.add_argument("--file", type=Path, help="a CSV file instead of asking the provider")
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        run = self._reconcile(options)
        if options["json"]:
            self._write_json(run)
        else:
            self._write_text(run)
        if not run.is_clean:
            raise CommandError("Not everything matches.")

    def _reconcile(self, options: dict[str, Any]) -> ReconciliationRun:
        asked = {name: options[name] for name in ("provider", "first", "last")}
        path: Path | None = options["file"]
        try:
            if path is None:
                return reconciliation.reconcile_with_provider(**asked)
            with path.open("rb") as file:
                return reconciliation.reconcile_with_file(**asked, file=file, name=path.name)
        except InvalidReport as error:
            raise CommandError(f"{path} is no settlement report:\n{error}", returncode=2) from None
        except DomainError as error:
            texts = [text for found in error.facts.get("errors", {}).values() for text in found]
            raise CommandError(" ".join(texts) or error.detail, returncode=2) from None
        except (DatabaseError, OSError) as error:
            raise CommandError(f"Could not be run: {error}", returncode=2) from error

    def _write_json(self, run: ReconciliationRun) -> None:
        """Row by row: there may be many."""
        told = json.dumps(_told(run))
        self.stdout.write(told[:-1] + ', "rows": [', ending="")
        for number, row in enumerate(reconciliation.list_unmatched(run)):
            self.stdout.write(("," if number else "") + json.dumps(_row(row)), ending="")
        self.stdout.write("]}")

    def _write_text(self, run: ReconciliationRun) -> None:
        counts = ", ".join(f"{n} {name}" for name, n in reconciliation.counts_of(run).items())
        self.stdout.write(f"{run}: {counts}; {run.line_count} lines of the report (run {run.pk})")
        for totals in run.totals:
            self.stdout.write(f"\n{totals['currency']}")
            for name, amount in totals.items():
                if name != "currency":
                    self.stdout.write(f"  {name:<14}{amount:>24}")
        for number, row in enumerate(reconciliation.list_unmatched(run)):
            if not number:
                self.stdout.write("")
            self.stdout.write(_line(row))


def _told(run: ReconciliationRun) -> dict[str, Any]:
    return {
        "id": str(run.pk),
        "provider": run.provider,
        "from": str(run.first_on),
        "to": str(run.last_on),
        "source": run.source,
        "file": run.file_name or None,
        "digest": bytes(run.digest).hex(),
        "lines": run.line_count,
        "supersedes": str(run.supersedes_id) if run.supersedes_id else None,
        "clean": run.is_clean,
        "counts": reconciliation.counts_of(run),
        "totals": run.totals,
    }


def _row(row: ReconciliationRow) -> dict[str, Any]:
    reported = own = None
    if row.reported_amount is not None:
        reported = {
            "amount": str(row.reported_amount),
            "fee": str(row.reported_fee),
            "currency": row.reported_currency,
            "settled_at": str(row.settled_at),
            "lines": row.line_count,
        }
    if row.own_amount is not None:
        own = {
            "id": str(row.subject_id),
            "amount": str(row.own_amount),
            "currency": row.own_currency,
            "status": row.own_status,
            "posted_at": str(row.posted_at) if row.posted_at else None,
        }
    return {
        "outcome": row.outcome,
        "reason": row.reason or None,
        "kind": row.kind,
        "reference": row.reference or None,
        "reported": reported,
        "own": own,
    }


def _line(row: ReconciliationRow) -> str:
    about = f"{row.outcome:<9} {row.kind} {row.reference or '-'}"
    sides = []
    if row.reason:
        sides.append(row.reason)
    if row.reported_amount is not None:
        day = f"{row.settled_at:%Y-%m-%d}"
        sides.append(f"report {row.reported_amount} {row.reported_currency} on {day}")
    if row.own_amount is not None:
        posted = f" on {row.posted_at:%Y-%m-%d}" if row.posted_at else ""
        own = f"{row.own_amount} {row.own_currency} {row.own_status}{posted}"
        sides.append(f"ours {own} ({row.subject_id})")
    return f"{about}: {'; '.join(sides)}"
