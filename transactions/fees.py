"""What an operation costs: a schedule in the settings, per kind, tier and currency.

``FEES = {kind: {tier: {currency: {"flat", "percent", "minimum", "maximum"}}}}``, all of them optional
decimal strings; what is not listed is free. Tier and currency may be ``"*"``. A schedule that says
anything else stops the process at its start (``problems_of``).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from fintech_core.money import AMOUNT_TEXT, Money, places_of, smallest_unit

# The operations that can cost something.
KINDS = ("transfer", "conversion")


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
        smallest = smallest_unit(amount.currency)
        return bounded.quantize(smallest, rounding=ROUND_HALF_EVEN)


_FREE = Fee()


@cache
def fee_schedule(kind: str, tier: int, currency: str) -> Fee:
    """The fee of a kind of transaction for a tier in a currency."""
    # A tier is a number in Python's settings and a text in the environment's JSON.
    tiers = {str(name): currencies for name, currencies in settings.FEES.get(kind, {}).items()}
    currencies = tiers.get(str(tier), tiers.get("*", {}))
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


def problems_of(schedules: Any) -> list[str]:
    """What is wrong with a ``FEES`` setting, each with its place; empty where it can be used."""
    return list(_problems(schedules))


def _problems(schedules: Any) -> Iterator[str]:
    tiers_known = {"*", *map(str, settings.LIMITS)}
    currencies_known = {"*", *settings.LIMITS[0]}
    for kind, tiers in _members(schedules):
        if kind not in KINDS:
            yield f"FEES has an unknown kind {kind!r}; it may be one of {list(KINDS)}."
        for tier, currencies in _members(tiers):
            if str(tier) not in tiers_known:
                yield f"FEES[{kind!r}] has an unknown tier {tier!r}."
            for currency, entry in _members(currencies):
                place = f"FEES[{kind!r}][{tier!r}][{currency!r}]"
                if currency not in currencies_known:
                    yield f"{place}: the currency is not offered."
                else:
                    yield from _problems_of_entry(place, currency, entry)


def _members(table: Any) -> Iterator[tuple[Any, Any]]:
    """The members of a table; one that is no table shows as a member that nothing is known by."""
    yield from table.items() if isinstance(table, dict) else [(repr(table), {})]


def _problems_of_entry(place: str, currency: str, entry: Any) -> Iterator[str]:
    names = {field.name for field in fields(Fee)}
    if not isinstance(entry, dict) or not set(entry) <= names:
        yield f"{place}: its members are {sorted(names)}."
        return
    currencies = settings.LIMITS[0] if currency == "*" else [currency]
    places = min(map(places_of, currencies))
    sound = True
    for name, text in entry.items():
        match = AMOUNT_TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            yield f"{place}: {name} is {text!r}; it must be a decimal text such as '0.30'."
        elif name == "percent" and Decimal(text) > 100:
            yield f"{place}: percent is above 100."
        elif name != "percent" and len(match[2] or "") - 1 > places:
            yield f"{place}: {name} has more decimal places than its currency."
        else:
            continue
        sound = False
    if sound and Decimal(entry.get("minimum", "0")) > Decimal(entry.get("maximum", "Infinity")):
        yield f"{place}: minimum is above maximum."
