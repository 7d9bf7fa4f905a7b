"""``manage.py clear_halt``: lets money move again, in an operator's name."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from fintech_core.exceptions import DomainError
from transactions.services import clear_halt
from users.models import User


class Command(BaseCommand):
    help = "Clear the halt of the postings; who asks must hold transactions.clear_halt."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="whose decision it is; it goes on record")
        parser.add_argument("--reason", required=True, help="why; it goes on record")

    def handle(self, *args: Any, **options: Any) -> None:
        operator = User.objects.filter(email=options["email"], is_active=True).first()
        if operator is None:
            raise CommandError("There is no such operator.")
        try:
            halt = clear_halt(acting_user=operator, reason=options["reason"])
        except PermissionDenied:
            raise CommandError("They may not clear a halt.") from None
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"Money moves again. It was halted for: {halt.reason}")
