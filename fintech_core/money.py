"""Money: a finite decimal amount of one currency, with exactly that currency's decimal places.

Currencies and their places follow ISO 4217. Nothing here rounds: an amount that does not fit is
refused.
"""

import functools
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, Self

# ISO 4217 minor units that differ from 2. PostgreSQL holds the same list in ``currency_places()``.
_NO_PLACES = (
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"),
    *("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
)
_THREE_PLACES = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_FOUR_PLACES = ("CLF", "UYW")
_PLACES: Final[dict[str, int]] = {
    **dict.fromkeys(_NO_PLACES, 0),
    **dict.fromkeys(_THREE_PLACES, 3),
    **dict.fromkeys(_FOUR_PLACES, 4),
}
_DEFAULT_PLACES: Final = 2
_CODE = re.compile(r"[A-Z]{3}", re.ASCII)
# What a client may send: ASCII digits, no sign, no exponent, at most 12 integer digits.
AMOUNT_TEXT: Final = re.compile(r"(0|[1-9][0-9]{0,11})(\.[0-9]+)?", re.ASCII)


class InvalidMoney(ValueError):
    """The value is not an exact amount of its currency; the text says why and may be shown."""


class CurrencyMismatch(TypeError):
    """Two amounts of different currencies met in one sum or comparison."""


def places_of(currency: str) -> int:
    """Number of decimal places ISO 4217 gives the currency (``USD`` 2, ``JPY`` 0, ``KWD`` 3)."""
    return _precision_of(currency)[0]


def smallest_unit(currency: str) -> Decimal:
    """The least amount of the currency: ``Decimal("0.01")`` of ``USD``."""
    return _precision_of(currency)[1]


# Every amount asks for it, several times a transfer.
@functools.lru_cache(maxsize=1_000)
def _precision_of(currency: str) -> tuple[int, Decimal]:
    if not isinstance(currency, str) or not _CODE.fullmatch(currency):
        raise InvalidMoney("A currency is three upper-case letters (ISO 4217).")
    places = _PLACES.get(currency, _DEFAULT_PLACES)
    return places, Decimal(1).scaleb(-places)


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount in one currency; it may be negative (an entry) or zero (a balance)."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        places, unit = _precision_of(self.currency)
        if not isinstance(self.amount, Decimal):
            raise InvalidMoney("An amount is a Decimal; floats and integers are refused.")
        if not self.amount.is_finite():
            raise InvalidMoney("An amount is finite.")
        try:
            exact = self.amount.quantize(unit)
        except InvalidOperation:
            raise InvalidMoney("An amount has at most 28 digits.") from None
        if exact != self.amount:
            raise InvalidMoney(f"{self.currency} has at most {places} decimal places.")
        object.__setattr__(self, "amount", exact)

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """An amount of zero or more from a client's text (docs/api.md).

        Raises ``InvalidMoney`` for anything but ``^(0|[1-9][0-9]{0,11})(\\.[0-9]+)?$`` within the
        currency's places.
        """
        places = places_of(currency)
        match = AMOUNT_TEXT.fullmatch(text) if isinstance(text, str) and len(text) <= 32 else None
        if match is None:
            raise InvalidMoney('Send a decimal string such as "50.00".')
        if len(match[2] or "") - 1 > places:
            raise InvalidMoney(f"{currency} has at most {places} decimal places.")
        return cls(Decimal(text), currency)

    def __str__(self) -> str:
        return format(self.amount, "f")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.amount <= self._same(other)

    def __gt__(self, other: "Money") -> bool:
        return self.amount > self._same(other)

    def __ge__(self, other: "Money") -> bool:
        return self.amount >= self._same(other)

    def __bool__(self) -> bool:
        return bool(self.amount)

    def _same(self, other: "Money") -> Decimal:
        if not isinstance(other, Money) or other.currency != self.currency:
            raise CurrencyMismatch(f"{self!r} and {other!r} have no common currency.")
        return other.amount


def format_amount(amount: Decimal, currency: str) -> str:
    """The amount as the API writes it: exactly the currency's places, no exponent."""
    return str(Money(amount, currency))
