"""``relay``: hand what is due to Celery, until told to stop."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from events.relay import Relay, configured_feeds, look


class Command(BaseCommand):
    """Several may run at once. SIGTERM and SIGINT end it within a second or two."""

    help = (
        "Hands what is due (events, webhooks, payments to look at) to Celery, until told to stop."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="hand over what is due now, and end"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        relay = Relay(configured_feeds(), look)
        if options["once"]:
            handed_over = 0
            while moved := relay.go_round():
                handed_over += moved
            if troubled := relay.in_trouble():
                raise CommandError(f"In trouble: {', '.join(troubled)}")
            self.stdout.write(f"{handed_over} handed over.")
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relay.run(stop)
