"""``manage.py reseal_webhook_secrets``: after a change of ``WEBHOOK_SECRETS_KEY``."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webhooks.services import reseal_secrets


class Command(BaseCommand):
    """Encrypts the secrets of all endpoints by the present key; safe to run again."""

    help = "Encrypt the secrets of all webhook endpoints by the present WEBHOOK_SECRETS_KEY."

    def handle(self, *args: Any, **options: Any) -> None:
        resealed, unreadable = reseal_secrets()
        self.stdout.write(f"{resealed} endpoints have their secrets under the present key.")
        if unreadable:
            raise CommandError(
                f"{unreadable} endpoints have secrets that no configured key reads: name the key that "
                "sealed them in WEBHOOK_SECRETS_OLD_KEYS, or have their owners rotate."
            )
