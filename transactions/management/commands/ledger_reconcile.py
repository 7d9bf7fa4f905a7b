"""``manage.py ledger_reconcile``: the trial balance. It reports and judges nothing."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from transactions.selectors import reconcile


class Command(BaseCommand):
    help = "Show per currency what users have, what the platform holds, and what must be zero."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        found = reconcile()
        if options["json"]:
            self.stdout.write(json.dumps(found, default=str))
            return
        self.stdout.write(f"Trial balance at {found['at']:%Y-%m-%d %H:%M:%S %Z}")
        for currency, sums in found["currencies"].items():
            users, holds = sums["users"], sums["open_holds"]
            self.stdout.write(f"\n{currency}")
            self._line("users", users["balance"], f"{users['wallets']} wallets")
            for wallet in sums["platform"]:
                self._line(wallet["purpose"], wallet["balance"], f"{wallet['wallets']} wallets")
            self._line("difference, must be zero", sums["difference"])
            self._line("held", sums["held"])
            self._line("open holds reserve", holds["reserved"], f"{holds['count']} holds")
            self._line("difference, must be zero", sums["held_difference"])
        self.stdout.write("\nTransactions")
        for row in found["transactions"]:
            self._line(f"{row['kind']} {row['status']}", str(row["count"]))

    def _line(self, name: str, amount: str, note: str = "") -> None:
        self.stdout.write(f"  {name:<34}{amount:>24}  {note}".rstrip())
