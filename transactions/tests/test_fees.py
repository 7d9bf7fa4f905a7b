"""Fees: what a schedule says, to whom it applies, where the money goes, and what is no schedule."""

import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.test import override_settings

from fintech_core.money import Money
from transactions import services
from transactions.declines import InsufficientFunds, LimitExceeded
from transactions.fees import Fee, fee_of, problems_of
from transactions.instructions import Recipient
from transactions.models import LedgerEntry, Transaction
from transactions.tests.exchange_factories import open_pot
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer, wallet_of
from users.tests.factories import at_once
from wallet.models import Wallet, WalletKind

Schedule = dict[str, Any]


def usd(text: str) -> Money:
    return Money(Decimal(text), "USD")


@pytest.mark.parametrize(
    ("fee", "amount", "costs"),
    [
        (Fee(), "10.00", "0.00"),
        (Fee(flat=Decimal("0.30")), "10.00", "0.30"),
        (Fee(percent=Decimal("1.5")), "10.00", "0.15"),
        (Fee(flat=Decimal("0.30"), percent=Decimal("2.9")), "100.00", "3.20"),
        (Fee(percent=Decimal(1), minimum=Decimal("0.50")), "10.00", "0.50"),
        (Fee(percent=Decimal(1), maximum=Decimal("0.50")), "100.00", "0.50"),
        # Halves are rounded to even.
        (Fee(percent=Decimal("0.5")), "1.00", "0.00"),
        (Fee(percent=Decimal("0.5")), "3.00", "0.02"),
        (Fee(percent=Decimal("0.5")), "3.01", "0.02"),
    ],
    ids=str,
)
def test_a_fee_is_flat_and_percent_within_its_bounds(fee: Fee, amount: str, costs: str) -> None:
    assert str(fee.of(usd(amount))) == costs


def test_a_fee_has_its_currencys_places() -> None:
    fee = Fee(percent=Decimal("0.15"))
    assert str(fee.of(Money(Decimal(1000), "JPY"))) == "2"
    assert str(fee.of(Money(Decimal("10.000"), "KWD"))) == "0.015"


@override_settings(
    FEES={
        "transfer": {
            2: {"USD": {"flat": "0.01"}, "*": {"percent": "2"}},
            "1": {"USD": {"flat": "0.02"}},
            "*": {"*": {"percent": "3"}},
        },
        "conversion": {"*": {"USD": {"flat": "0.04"}}},
    }
)
def test_kind_tier_and_currency_choose_the_fee() -> None:
    euros = Money(Decimal(100), "EUR")
    assert fee_of("transfer", 2, usd("100.00")) == Decimal("0.01")
    assert fee_of("transfer", 2, euros) == 2
    assert fee_of("transfer", 1, usd("100.00")) == Decimal("0.02")
    assert fee_of("transfer", 1, euros) == 0
    assert fee_of("transfer", 0, euros) == 3
    assert fee_of("conversion", 0, usd("100.00")) == Decimal("0.04")
    assert fee_of("conversion", 0, euros) == 0
    assert fee_of("deposit", 0, euros) == 0


QUARTER: Schedule = {"transfer": {"*": {"*": {"percent": "25"}}}}


def legs_of(record: Any) -> list[tuple[str, Decimal]]:
    entries = LedgerEntry.objects.filter(transaction_id=record.id).order_by("leg")
    return list(entries.values_list("wallet__kind", "amount"))


@pytest.mark.usefixtures("committed")
@override_settings(FEES=QUARTER)
def test_the_payer_pays_the_fee_beyond_the_amount() -> None:
    payer, payee = make_payer("20.00"), make_payee()
    record = services.transfer(instruct(payer, payee, "10.00")).transaction
    assert (balance_of(payer), balance_of(payee)) == ("7.50", "10.00")
    assert legs_of(record) == [
        ("user", Decimal("-12.50")),
        ("user", Decimal("10.00")),
        ("fees", Decimal("2.50")),
    ]


@pytest.mark.usefixtures("committed")
@override_settings(FEES=QUARTER)
def test_a_fee_that_does_not_fit_declines_the_transfer() -> None:
    payer, payee = make_payer("12.49"), make_payee()
    outcome = services.transfer(instruct(payer, payee, "10.00"))
    assert type(outcome.transaction.decline) is InsufficientFunds
    assert (balance_of(payer), balance_of(payee)) == ("12.49", "0.00")
    assert Transaction.objects.get(pk=outcome.transaction.id).fee == Decimal("2.50")


@pytest.mark.usefixtures("committed")
@override_settings(FEES=QUARTER)
def test_a_fee_counts_for_no_limit() -> None:
    payer, payee = make_payer("3000.00", tier=2), make_payee()
    type(payer).objects.filter(pk=payer.pk).update(kyc_tier=1)
    for _ in range(2):
        outcome = services.transfer(instruct(payer, payee, "1000.00"))
        assert outcome.transaction.decline is None
    assert (balance_of(payer), wallet_of(payer).spent_in_day) == ("500.00", 2000)
    outcome = services.transfer(instruct(payer, payee, "0.01"))
    assert type(outcome.transaction.decline) is LimitExceeded


@pytest.mark.usefixtures("committed")
@override_settings(FEES=QUARTER)
def test_between_own_wallets_a_transfer_is_free() -> None:
    user = make_payer("10.00")
    pot = open_pot(user)
    into = instruct(user, user, "10.00", recipient=Recipient(wallet_id=pot.pk))
    assert services.transfer(into).transaction.fee == 0
    assert balance_of(user) == "0.00"


@pytest.mark.usefixtures("committed")
@override_settings(FEES={"transfer": {"*": {"*": {"percent": "0.01"}}}})
def test_a_fee_that_rounds_to_nothing_posts_no_leg() -> None:
    record = services.transfer(instruct(make_payer("1.00"), make_payee(), "1.00")).transaction
    assert len(legs_of(record)) == 2


@pytest.mark.usefixtures("committed")
@override_settings(FEES=QUARTER)
def test_fees_taken_at_once_are_spread_over_several_wallets_and_all_there() -> None:
    earning = Wallet.objects.filter(kind=WalletKind.FEES, currency="USD")

    def earned() -> Decimal:
        return earning.aggregate(total=Sum("balance"))["total"] or Decimal(0)

    before = earned()
    payers = [make_payer("100.00") for _ in range(8)]

    def act(index: int) -> None:
        for _ in range(5):
            services.transfer(instruct(payers[index], make_payee(), "4.00"))

    at_once(8, act)
    assert earned() - before == 40
    used = {wallet.purpose for wallet in earning if wallet.last_sequence}
    assert len(used) > 1
    assert used <= {f"fees/{stripe}" for stripe in range(4)} | {"fees:test"}


@pytest.mark.parametrize(
    "schedule",
    [
        {},
        QUARTER,
        {"transfer": {1: {"USD": {"flat": "0.30", "minimum": "0.30", "maximum": "5.00"}}}},
        {"conversion": {"2": {"JPY": {"flat": "30"}}}},
    ],
    ids=str,
)
def test_a_sound_schedule_has_no_problems(schedule: Schedule) -> None:
    assert problems_of(schedule) == []


@pytest.mark.parametrize(
    "schedule",
    [
        [],
        {"gift": {}},
        {"transfer": []},
        {"transfer": {"3": {"USD": {"flat": "1"}}}},
        {"transfer": {"*": "1"}},
        {"transfer": {"*": {"XXX": {"flat": "1"}}}},
        {"transfer": {"*": {"USD": "1"}}},
        {"transfer": {"*": {"USD": {"rate": "1"}}}},
        {"transfer": {"*": {"USD": {"flat": 1}}}},
        {"transfer": {"*": {"USD": {"flat": "-1"}}}},
        {"transfer": {"*": {"USD": {"flat": "NaN"}}}},
        {"transfer": {"*": {"USD": {"flat": "1e3"}}}},
        {"transfer": {"*": {"USD": {"flat": "0.001"}}}},
        {"transfer": {"*": {"*": {"flat": "0.01"}}}},
        {"transfer": {"*": {"USD": {"percent": "100.1"}}}},
        {"transfer": {"*": {"USD": {"minimum": "2", "maximum": "1"}}}},
    ],
    ids=str,
)
def test_what_is_no_schedule_is_named(schedule: Any) -> None:
    assert len(problems_of(schedule)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FEES", '{"transfer": {"*": {"USD": {"flat": "-0.30"}}}}'),
        ("FEES", "[]"),
        ("FEES", "{"),
        ("RATE_PROVIDER", "transactions.rates.Nothing"),
        ("FX_SPREAD_PERCENT", "-1"),
        ("FX_SPREAD_PERCENT", "NaN"),
    ],
)
def test_no_process_starts_with_wrong_fees_or_rates(name: str, value: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import fintech_core.wsgi"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "fintech_core.settings", name: value},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode != 0
    assert "ImproperlyConfigured" in told.stderr
    assert name in told.stderr
