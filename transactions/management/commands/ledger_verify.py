"""``manage.py ledger_verify``: proves the ledger, or names the first row that breaks it."""

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError

from transactions.models import Checkpoint
from transactions.services import verify
from transactions.signatures import public_keys


class Command(BaseCommand):
    help = (
        "Verify what was posted since the last sound verification, or the whole ledger. Exit status 0: it"
        " holds; 1: it does not; 2: could not be run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        extent = parser.add_mutually_exclusive_group()
        extent.add_argument("--full", action="store_true", help="from the first entry on")
        extent.add_argument(
            "--from-checkpoint", type=int, metavar="N", help="what was posted after checkpoint N"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        after = 0 if options["full"] else options["from_checkpoint"]
        try:
            if after and not Checkpoint.objects.filter(number=after).exists():
                raise CommandError(f"There is no checkpoint {after}.", returncode=2)
            if not public_keys():
                self.stderr.write("No public key is known: signatures are not verified.")
            report = verify(after_checkpoint=after, progress=self._progress())
        except (DatabaseError, ImproperlyConfigured, OSError) as error:
            raise CommandError(f"Could not be run: {error}", returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict()))
        else:
            for violation in report.violations:
                self.stderr.write(str(violation))
        if not report.is_sound:
            raise CommandError("The ledger does not hold.")
        if not options["json"]:
            extent = report.extent
            since = "everything" if extent.is_full else f"what is after checkpoint {extent.after}"
            self.stdout.write(
                f"Read {since}: {extent.entries} entries, {extent.transactions} transactions,"
                f" {extent.holds} holds, {extent.checkpoints} checkpoints. The books agree."
            )

    def _progress(self) -> Any:
        """Writes over one line of a terminal; elsewhere nothing."""
        if not self.stderr.isatty():
            return lambda *_: None

        def tell(what: str, done: int, total: int | None) -> None:
            of = f" of {total}" if total else ""
            self.stderr.write(f"\r\033[K{done}{of} {what}", ending="")
            self.stderr.flush()
            if done == total:
                self.stderr.write("")

        return tell
