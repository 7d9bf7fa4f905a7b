"""Money moving: the ledger, transfers, limits, idempotency."""

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class TransactionsConfig(AppConfig):
    name = "transactions"
    verbose_name = "Transactions"

    def ready(self) -> None:
        """No process starts that would take wrong fees or know no rates."""
        from transactions import checks  # noqa: F401 - registers them
        from transactions.fees import problems_of
        from transactions.rates import rate_provider

        problems = problems_of(settings.FEES)
        try:
            rate_provider()
        except (ImportError, TypeError) as error:
            problems.append(f"RATE_PROVIDER: {error}")
        if problems:
            raise ImproperlyConfigured("\n".join(problems))
