"""Money refuses what is not an exact amount of its currency, and never rounds."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from fintech_core.money import CurrencyMismatch, InvalidMoney, Money, format_amount, places_of


@pytest.mark.parametrize(
    ("text", "currency", "told"),
    [
        ("50", "USD", "50.00"),
        ("0.1", "USD", "0.10"),
        ("50", "JPY", "50"),
        ("1.234", "KWD", "1.234"),
        ("999999999999.99", "USD", "999999999999.99"),
    ],
)
def test_an_amount_is_written_with_its_currencys_places(
    text: str, currency: str, told: str
) -> None:
    assert str(Money.parse(text, currency)) == told


@pytest.mark.parametrize(
    ("text", "currency"),
    [("1.001", "USD"), ("1.0", "JPY"), ("1.2345", "KWD"), ("1000000000000", "USD"), ("1", "usd")]
    + [(bad, "USD") for bad in ("", "-1", "+1", "1e2", "NaN", "01", ".5", "1.", "１", " 1", "1_0")],
)
def test_what_is_not_exact_is_refused(text: str, currency: str) -> None:
    with pytest.raises(InvalidMoney):
        Money.parse(text, currency)


@pytest.mark.parametrize("value", [1.5, 1, "1", None, Decimal("NaN"), Decimal("Infinity")])
def test_only_finite_decimals_are_money(value: Any) -> None:
    with pytest.raises(InvalidMoney):
        Money(value, "USD")


def test_currencies_do_not_mix() -> None:
    with pytest.raises(CurrencyMismatch):
        Money(Decimal(1), "USD") + Money(Decimal(1), "EUR")
    with pytest.raises(CurrencyMismatch):
        assert Money(Decimal(1), "USD") < Money(Decimal(1), "EUR")


def test_sums_and_comparisons_are_exact() -> None:
    tenth = Money(Decimal("0.10"), "USD")
    assert tenth + tenth + tenth == Money(Decimal("0.30"), "USD")
    assert -(tenth - tenth - tenth) == tenth
    assert tenth > -tenth
    assert format_amount(Decimal("1E+2"), "USD") == "100.00"


@pytest.mark.usefixtures("committed")
def test_postgresql_knows_the_same_places() -> None:
    codes = [
        f"{a}{b}{c}"
        for a in "BCDGIJKLOPRTUVX"
        for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        for c in "DFGIRPWYA"
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT code, currency_places(code) FROM unnest(%s::text[]) AS code", [codes]
        )
        assert all(places_of(code) == places for code, places in cursor.fetchall())
