"""``manage.py ledger_checkpoint``: signs where the ledger stands, or shows the public key."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from transactions.services import take_checkpoint
from transactions.signatures import encode_public_key, line_of, public_keys


class Command(BaseCommand):
    help = "Take a signed checkpoint now, as the worker does every ten minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--public-key",
            action="store_true",
            help="show the keys whose signatures count, to be kept elsewhere, and do nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["public_key"]:
                for key_id, key in public_keys().items():
                    self.stdout.write(f"{key_id} {encode_public_key(key)}")
                return
            checkpoint = take_checkpoint()
        except (ImproperlyConfigured, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        if checkpoint is None:
            self.stdout.write("Nothing has moved since the last checkpoint.")
        else:
            self.stdout.write(line_of(checkpoint))
