"""Limits per KYC tier and currency, and what is left of them.

What a wallet spent in the current UTC day and month is kept beside its balance and judged under its lock,
so a check costs the same however many transfers the day has, and racing or splitting cannot pass it.
"""

import datetime
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver


@dataclass(frozen=True, slots=True)
class Limits:
    """The most one transfer, a UTC day and a UTC month may take out, and the largest balance."""

    per_transfer: Decimal
    per_day: Decimal
    per_month: Decimal
    largest_balance: Decimal


@cache
def limits_of(tier: int, currency: str) -> Limits:
    """The limits of a tier. Raises ``KeyError`` for a currency that is not offered."""
    return Limits(**{name: Decimal(text) for name, text in settings.LIMITS[tier][currency].items()})


def offered_currencies() -> frozenset[str]:
    """The currencies that limits are set for; no other is offered."""
    return frozenset(settings.LIMITS[0])


@receiver(setting_changed)
def _forget_limits(*, setting: str, **_: object) -> None:
    if setting == "LIMITS":
        limits_of.cache_clear()


class Spending(NamedTuple):
    """What left a wallet since the start of the day ``on`` and of its month."""

    on: datetime.date
    in_day: Decimal
    in_month: Decimal

    def at(self, today: datetime.date) -> "Spending":
        """The same seen today: a new day or month starts at zero. A clock that steps back does not
        start one, so that nothing can be spent twice around midnight."""
        if today <= self.on:
            return self
        same_month = (today.year, today.month) == (self.on.year, self.on.month)
        return Spending(today, Decimal(0), self.in_month if same_month else Decimal(0))

    def plus(self, amount: Decimal) -> "Spending":
        """With one more amount spent."""
        return Spending(self.on, self.in_day + amount, self.in_month + amount)

    def minus(self, amount: Decimal, *, made_on: datetime.date) -> "Spending":
        """With an amount that was counted on that day and is not spent after all; it is taken out of the
        windows that it was counted in, never below zero."""
        in_day = amount if made_on == self.on else Decimal(0)
        same_month = (made_on.year, made_on.month) == (self.on.year, self.on.month)
        in_month = amount if same_month else Decimal(0)
        return Spending(
            self.on,
            max(self.in_day - in_day, Decimal(0)),
            max(self.in_month - in_month, Decimal(0)),
        )

    def remaining(self, limits: Limits) -> dict[str, Decimal]:
        """What each limit still allows, by its name; never below zero."""
        return {
            "per_transfer": limits.per_transfer,
            "per_day": max(limits.per_day - self.in_day, Decimal(0)),
            "per_month": max(limits.per_month - self.in_month, Decimal(0)),
        }
