"""``manage.py payments_verify``: do payments and the ledger agree."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from payments.services.verification import verify_payments


class Command(BaseCommand):
    help = "See that intents, refunds and payouts agree with the ledger; exit status 1 where not."

    def handle(self, *args: Any, **options: Any) -> None:
        violations = verify_payments()
        for invariant, subject in violations:
            self.stdout.write(f"{subject}: {invariant}")
        if violations:
            raise CommandError(f"{len(violations)} do not agree.")
        self.stdout.write("Payments and the ledger agree.")
