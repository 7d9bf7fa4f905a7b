"""Windows of spending: what counts today, and what midnight and a bent clock do to it."""

import datetime
from decimal import Decimal

from transactions.limits import Limits, Spending

DAY = datetime.date(2026, 1, 30)
SPENT = Spending(DAY, Decimal(70), Decimal(120))
LIMITS = Limits(Decimal(50), Decimal(100), Decimal(150), Decimal(1000))


def test_the_same_day_goes_on() -> None:
    assert SPENT.at(DAY) == SPENT


def test_a_new_day_starts_at_zero_and_its_month_goes_on() -> None:
    assert SPENT.at(datetime.date(2026, 1, 31)) == Spending(
        datetime.date(2026, 1, 31), Decimal(0), Decimal(120)
    )


def test_a_new_month_starts_at_zero() -> None:
    assert SPENT.at(datetime.date(2026, 2, 1)).in_month == 0
    assert SPENT.at(datetime.date(2027, 1, 30)).in_month == 0


def test_a_clock_that_steps_back_starts_no_new_day() -> None:
    assert SPENT.at(datetime.date(2026, 1, 29)) == SPENT


def test_what_remains_is_never_negative() -> None:
    over = SPENT.plus(Decimal(90))
    assert over.remaining(LIMITS) == {
        "per_transfer": Decimal(50),
        "per_day": Decimal(0),
        "per_month": Decimal(0),
    }
