"""``manage.py check_books``: every invariant of the ledger, over all of it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from transactions.selectors import check_books


class Command(BaseCommand):
    help = "Look for broken invariants in the whole ledger; exit status 1 where there are some."

    def handle(self, *args: Any, **options: Any) -> None:
        violations = check_books()
        for invariant, subject in violations:
            self.stderr.write(f"{invariant}: {subject}")
        if violations:
            raise CommandError(f"{len(violations)} invariants do not hold.")
        self.stdout.write("The books agree.")
