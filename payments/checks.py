"""What ``manage.py check`` says of the payment providers that are switched on."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register

from payments.providers.registry import ADAPTERS


@register
def providers_are_whole(**_: Any) -> list[CheckMessage]:
    """An error for each provider that nobody wrote, and for each setting one cannot work without."""
    found: list[CheckMessage] = []
    for name in settings.PAYMENT_PROVIDERS:
        adapter = ADAPTERS.get(name)
        if adapter is None:
            found.append(
                checks.Error(
                    f"PAYMENT_PROVIDERS names {name!r}; there are only {', '.join(ADAPTERS)}.",
                    id="payments.E001",
                )
            )
            continue
        missing = [need for need in adapter.needs if not getattr(settings, need, "")]
        if missing:
            found.append(
                checks.Error(
                    f"The payment provider {name!r} is switched on without {', '.join(missing)}.",
                    id="payments.E002",
                )
            )
    return found
