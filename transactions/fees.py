"""What an operation costs: a schedule in the settings, per kind, tier and currency.

``FEES = {kind: {tier: {currency: {"flat", "percent", "minimum", "maximum"}}}}``, all of them optional
decimal strings; what is not listed is free. Tier and currency may be ``"*"``.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from fintech_core.money import Money, places_of


@dataclass(frozen=True, slots=True)
class Fee:
    """``flat`` and ``percent`` of the amount together, but no less and no more than the bounds."""

    flat: Decimal = Decimal(0)
    percent: Decimal = Decimal(0)
    minimum: Decimal = Decimal(0)
    maximum: Decimal | None = None

    def of(self, amount: Money) -> Decimal:
        """What moving the amount costs, in its currency; halves are rounded to even."""
        exact = self.flat + amount.amount * self.percent / 100
        bounded = max(exact, self.minimum)
        if self.maximum is not None:
            bounded = min(bounded, self.maximum)
        smallest = Decimal(1).scaleb(-places_of(amount.currency))
        return bounded.quantize(smallest, rounding=ROUND_HALF_EVEN)


_FREE = Fee()


@cache
def fee_schedule(kind: str, tier: int, currency: str) -> Fee:
    """The fee of a kind of transaction for a tier in a currency."""
    tiers = settings.FEES.get(kind, {})
    currencies = tiers.get(tier, tiers.get("*", {}))
    entry = currencies.get(currency, currencies.get("*"))
    if entry is None:
        return _FREE
    return Fee(**{name: Decimal(text) for name, text in entry.items()})


def fee_of(kind: str, tier: int, amount: Money) -> Decimal:
    """What the operation costs beyond its amount, with exactly the currency's places."""
    schedule = fee_schedule(kind, tier, amount.currency)
    return schedule.of(amount) if schedule is not _FREE else amount.amount * 0


@receiver(setting_changed)
def _forget_fees(*, setting: str, **_: object) -> None:
    if setting == "FEES":
        fee_schedule.cache_clear()
