"""What one currency is worth in another, what of it a customer gets, and what an amount buys.

A provider says the middle rate of a pair in one direction, its codes in alphabetical order. Both
directions are made from that one here and rounded against the customer, so that what is converted there
and back at one rate never comes back as more.
"""

import datetime
import decimal
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Protocol

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from fintech_core.money import smallest_unit
from transactions.declines import RateUnavailable
from transactions.models import HIGHEST_RATE, LOWEST_RATE, ExchangeRate

# A customer's rate has this many significant digits.
_ROUNDED_DOWN = decimal.Context(prec=12, rounding=decimal.ROUND_DOWN)
# An amount has up to 16 digits and a rate 12: their product fits.
_EXACT = decimal.Context(prec=60, traps=[decimal.Inexact, decimal.InvalidOperation])


@dataclass(frozen=True, slots=True)
class Rate:
    """So much of ``quote`` is worth one ``base``, in the middle between buying and selling."""

    base: str
    quote: str
    value: Decimal
    as_of: datetime.datetime
    source: str


class RateProvider(Protocol):
    """Who knows rates; the class that ``settings.RATE_PROVIDER`` names, made without arguments."""

    def rate(self, base: str, quote: str) -> Rate:
        """The newest middle rate of a pair; it is only asked for ``base < quote``.

        Called outside of any database transaction, so it may use the network, in bounded time. Raises
        ``RateUnavailable``.
        """


class TableRates:
    """Rates that operators or a feed have put into the table ``ExchangeRate``."""

    def rate(self, base: str, quote: str) -> Rate:
        """The newest that is not ahead of the clock."""
        now = datetime.datetime.now(datetime.UTC)
        row = (
            ExchangeRate.objects.filter(base=base, quote=quote, as_of__lte=now)
            .order_by("-as_of", "-id")
            .first()
        )
        if row is None:
            raise RateUnavailable
        return Rate(row.base, row.quote, row.rate, row.as_of, row.source)


@cache
def rate_provider() -> RateProvider:
    """The provider of the settings. Raises ``ImportError`` where it names none."""
    provider: RateProvider = import_string(settings.RATE_PROVIDER)()
    return provider


@receiver(setting_changed)
def _forget_provider(*, setting: str, **_: object) -> None:
    if setting == "RATE_PROVIDER":
        rate_provider.cache_clear()


@dataclass(frozen=True, slots=True)
class Price:
    """What a customer gets for one unit, and what it was made from."""

    rate: Decimal
    as_of: datetime.datetime
    source: str


def price_of(source: str, target: str) -> Price:
    """What one unit of ``source`` buys of ``target`` now. Raises ``RateUnavailable``."""
    base, quote = sorted((source, target))
    middle = rate_provider().rate(base, quote)
    age = datetime.datetime.now(datetime.UTC) - middle.as_of
    if age > settings.RATE_MAX_AGE or (middle.base, middle.quote) != (base, quote):
        raise RateUnavailable
    if not middle.value.is_finite() or not LOWEST_RATE <= middle.value <= HIGHEST_RATE:
        raise RateUnavailable
    spread = Decimal(settings.FX_SPREAD_PERCENT)
    return Price(
        customer_rate(middle.value, is_inverse=source != base, spread_percent=spread),
        middle.as_of,
        middle.source,
    )


def customer_rate(middle: Decimal, *, is_inverse: bool, spread_percent: Decimal) -> Decimal:
    """A middle rate or its inverse, less the spread; every step is rounded down.

    So the rates of the two directions multiply to one at the most.
    """
    value = _ROUNDED_DOWN.divide(Decimal(1), middle) if is_inverse else middle
    kept = Decimal(100) - spread_percent
    return _ROUNDED_DOWN.divide(_ROUNDED_DOWN.multiply(value, kept), Decimal(100))


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an amount buys: ``bought`` reaches the customer, ``sold`` is what the platform gives for it.

    Both have exactly the currency's places. They differ by the smallest unit where the exact amount lies
    between two of them: that residue is the platform's.
    """

    bought: Decimal
    sold: Decimal

    @property
    def residue(self) -> Decimal:
        return self.sold - self.bought


def exchange(amount: Decimal, rate: Decimal, currency: str) -> Exchange:
    """What the amount buys of the currency at a customer's rate; it may be nothing."""
    exact = _EXACT.multiply(amount, rate)
    smallest = smallest_unit(currency)
    return Exchange(
        exact.quantize(smallest, rounding=decimal.ROUND_FLOOR),
        exact.quantize(smallest, rounding=decimal.ROUND_CEILING),
    )
