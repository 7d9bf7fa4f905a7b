"""Which providers are switched on, and the one instance of each.

An adapter is imported when it is asked for first: a process that never talks to a provider does not pay
for its library.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from fintech_core.exceptions import DomainError
from payments.providers.base import Provider


@dataclass(frozen=True, slots=True)
class Adapter:
    """Where a provider's class is, and the settings it cannot work without."""

    path: str
    needs: tuple[str, ...]


ADAPTERS = {
    "simulator": Adapter(
        "payments.providers.simulator.SimulatorProvider",
        ("SIMULATOR_URL", "SIMULATOR_API_KEY", "SIMULATOR_WEBHOOK_SECRET"),
    ),
    "stripe": Adapter(
        "payments.providers.stripe.StripeProvider", ("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRETS")
    ),
}

_making = threading.Lock()
# What tests have put in; these win over settings and adapters.
_registered: dict[str, Provider] = {}


class UnknownProvider(DomainError):
    """400: there is no such provider, or it is not switched on here."""

    status = 400
    code = "unknown_provider"
    field = "provider"
    title = "There is no such payment provider here."


def enabled_providers() -> list[str]:
    """The names of the providers that are switched on, in the order of the settings."""
    return list(dict.fromkeys([*settings.PAYMENT_PROVIDERS, *_registered]))


def default_provider() -> str:
    """The provider of a request that names none; ``UnknownProvider`` where none is switched on."""
    if settings.DEFAULT_PAYMENT_PROVIDER:
        return str(settings.DEFAULT_PAYMENT_PROVIDER)
    for name in enabled_providers():
        return name
    raise UnknownProvider("No payment provider is switched on here.")


def get_provider(name: str) -> Provider:
    """The provider of that name, one instance for all threads; ``UnknownProvider`` where it is not
    switched on."""
    registered = _registered.get(name)
    if registered is not None:
        return registered
    if name not in settings.PAYMENT_PROVIDERS or name not in ADAPTERS:
        raise UnknownProvider
    with _making:
        return _made(name)


def forget_providers() -> None:
    """Make every adapter anew from the settings as they are then."""
    _made.cache_clear()


@contextmanager
def registered(provider: Provider) -> Iterator[Provider]:
    """Have a provider under its own name for a while, switched on, in place of any other: for tests."""
    before = _registered.get(provider.name)
    _registered[provider.name] = provider
    try:
        yield provider
    finally:
        if before is None:
            del _registered[provider.name]
        else:
            _registered[provider.name] = before


# A forked process must not talk over its parent's connections.
os.register_at_fork(after_in_child=forget_providers)


@cache
def _made(name: str) -> Provider:
    adapter: Provider = import_string(ADAPTERS[name].path)()
    return adapter
