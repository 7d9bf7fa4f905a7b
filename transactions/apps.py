"""Money moving: the ledger, transfers, limits, idempotency."""

from django.apps import AppConfig


class TransactionsConfig(AppConfig):
    name = "transactions"
    verbose_name = "Transactions"

    def ready(self) -> None:
        from transactions import checks  # noqa: F401 - registers them
