"""Rates: both directions of a pair come from one, and none of them gives anything away."""

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from events.models import AuditRecord
from fintech_core.exceptions import InvalidInput
from fintech_core.money import places_of
from transactions.declines import RateUnavailable
from transactions.models import ExchangeRate
from transactions.rates import Rate, customer_rate, exchange, price_of
from transactions.services import add_rate
from transactions.tests.exchange_factories import set_rate
from transactions.tests.factories import make_payee

MIDDLES = st.decimals("0.000001", "1000000", places=12)
SPREADS = st.sampled_from([Decimal(text) for text in ("0", "0.01", "0.5", "99.99")])
CURRENCIES = st.sampled_from(["USD", "JPY", "KWD", "EUR"])


@given(middle=MIDDLES, spread=SPREADS)
def test_the_two_directions_of_a_pair_multiply_to_one_at_the_most(
    middle: Decimal, spread: Decimal
) -> None:
    there = customer_rate(middle, is_inverse=False, spread_percent=spread)
    back = customer_rate(middle, is_inverse=True, spread_percent=spread)
    assert there > 0
    assert back > 0
    assert there * back <= (1 - spread / 100) ** 2


@given(
    units=st.integers(1, 10**14),
    middle=MIDDLES,
    spread=SPREADS,
    source=CURRENCIES,
    target=CURRENCIES,
)
def test_a_round_trip_never_makes_money(
    units: int, middle: Decimal, spread: Decimal, source: str, target: str
) -> None:
    amount = Decimal(units).scaleb(-places_of(source))
    there = customer_rate(middle, is_inverse=False, spread_percent=spread)
    back = customer_rate(middle, is_inverse=True, spread_percent=spread)
    assert exchange(exchange(amount, there, target).bought, back, source).bought <= amount


@given(units=st.integers(1, 10**14), rate=MIDDLES, currency=CURRENCIES)
def test_the_residue_is_less_than_the_smallest_unit_and_never_the_customers(
    units: int, rate: Decimal, currency: str
) -> None:
    amount = Decimal(units).scaleb(-2)
    told = exchange(amount, rate, currency)
    smallest = Decimal(1).scaleb(-places_of(currency))
    assert told.bought <= amount * rate <= told.sold
    assert told.residue in (0, smallest)
    assert told.bought.as_tuple().exponent == told.sold.as_tuple().exponent == -places_of(currency)


@pytest.mark.usefixtures("committed")
@override_settings(FX_SPREAD_PERCENT="0")
def test_the_newest_rate_that_is_in_force_counts() -> None:
    set_rate("EUR", "USD", "1.10")
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    add_rate(base="EUR", quote="USD", rate=Decimal(9), source="test", as_of=later)
    assert price_of("EUR", "USD").rate == Decimal("1.10")
    set_rate("EUR", "USD", "1.25")
    assert (price_of("EUR", "USD").rate, price_of("USD", "EUR").rate) == (
        Decimal("1.25"),
        Decimal("0.8"),
    )


@pytest.mark.usefixtures("committed")
def test_a_rate_that_is_too_old_is_none() -> None:
    set_rate("GBP", "KWD", "0.39")
    price_of("GBP", "KWD")
    with override_settings(RATE_MAX_AGE=datetime.timedelta(0)), pytest.raises(RateUnavailable):
        price_of("KWD", "GBP")


class Careless:
    """A provider that says what it is told to."""

    told: Decimal = Decimal(1)

    def rate(self, base: str, quote: str) -> Rate:
        assert base < quote
        return Rate(base, quote, self.told, datetime.datetime.now(datetime.UTC), "careless")


@override_settings(RATE_PROVIDER="transactions.tests.test_rates.Careless", FX_SPREAD_PERCENT="10")
def test_a_provider_is_asked_in_one_direction_and_pays_no_spread() -> None:
    assert price_of("USD", "EUR").rate == price_of("EUR", "USD").rate == Decimal("0.9")


@pytest.mark.parametrize("told", ["0", "-1", "NaN", "Infinity", "1000001", "0.0000001"])
@override_settings(RATE_PROVIDER="transactions.tests.test_rates.Careless")
def test_a_rate_that_cannot_be_is_none(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setattr(Careless, "told", Decimal(told))
    with pytest.raises(RateUnavailable):
        price_of("EUR", "USD")


@pytest.mark.usefixtures("committed")
def test_a_new_rate_is_on_record() -> None:
    operator = make_payee()
    row = add_rate(
        base="EUR", quote="USD", rate=Decimal("1.08"), source="ECB", acting_user=operator
    )
    record = AuditRecord.objects.get(subject_id=row.pk)
    assert (record.action, record.actor_id) == ("exchange_rate.added", operator.pk)
    assert (record.after["pair"], record.after["rate"]) == ("EUR/USD", "1.08")


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("base", {"base": "XXX"}),
        ("quote", {"quote": "XXX"}),
        ("base", {"base": "USD", "quote": "EUR"}),
        ("base", {"base": "USD"}),
        ("rate", {"rate": Decimal(0)}),
        ("rate", {"rate": Decimal("NaN")}),
        ("rate", {"rate": Decimal("1.0000000000001")}),
        ("source", {"source": " "}),
    ],
)
def test_a_rate_that_means_nothing_is_not_added(field: str, change: dict[str, Any]) -> None:
    source = uuid.uuid4().hex
    values: dict[str, Any] = {"base": "EUR", "quote": "USD", "rate": Decimal(1), "source": source}
    with pytest.raises(InvalidInput) as refusal:
        add_rate(**values | change)
    assert list(refusal.value.facts["errors"]) == [field]
    assert not ExchangeRate.objects.filter(source=source).exists()
