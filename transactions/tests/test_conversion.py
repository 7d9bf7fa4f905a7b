"""Conversions through the service: what moves in which currency, what is refused, what a quote keeps."""

import datetime
import uuid
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fintech_core.exceptions import InvalidInput
from transactions import declines
from transactions.declines import Decline
from transactions.models import LedgerEntry, Quote, Transaction
from transactions.services import close_wallet, prune_quotes, quote_conversion
from transactions.services import convert as convert_by
from transactions.tests.exchange_factories import (
    conversion,
    convert,
    fresh,
    keyed,
    open_pot,
    set_rate,
    text_of,
)
from transactions.tests.factories import make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import at_once
from wallet.models import Wallet, WalletKind
from wallet.services import freeze_wallet, set_overdraft

pytestmark = pytest.mark.usefixtures("committed")

NO_RATES = "transactions.tests.exchange_factories.NoRates"


def pair(
    balance: str = "100.00", currency: str = "EUR", **user: Any
) -> tuple[User, Wallet, Wallet]:
    """A user with dollars, and an empty wallet of another currency."""
    owner = make_payer(balance, **user)
    return owner, wallet_of(owner), open_pot(owner, currency)


def legs_of(transaction_id: uuid.UUID) -> list[tuple[str, str, Decimal]]:
    """Of each entry the wallet's kind, the currency and the amount."""
    entries = LedgerEntry.objects.filter(transaction_id=transaction_id).order_by("leg")
    return list(entries.values_list("wallet__kind", "currency", "amount"))


def require_declined(
    decline: type[Decline], caller: User, source: Wallet, target: Wallet, amount: str, **more: Any
) -> Transaction:
    """Declined for this reason, recorded, and nothing moves."""
    before = (fresh(source), fresh(target))
    outcome = convert(caller, source, target, amount, **more)
    assert type(outcome.transaction.decline) is decline
    for wallet in before:
        after = fresh(wallet)
        assert (after.balance, after.last_sequence) == (wallet.balance, wallet.last_sequence)
    return Transaction.objects.get(pk=outcome.transaction.id, status="declined")


@override_settings(FX_SPREAD_PERCENT="0.5")
def test_a_conversion_moves_each_currency_and_keeps_the_residue() -> None:
    set_rate("EUR", "USD", "1.10")
    owner, dollars, euros = pair()
    record = convert(owner, dollars, euros, "10.00").transaction
    # 1 / 1.10 and that x 0.995, each rounded down to 12 digits.
    assert (text_of(dollars), text_of(euros)) == ("90.00", "9.04")
    assert legs_of(record.id) == [
        ("user", "USD", Decimal("-10.00")),
        ("user", "EUR", Decimal("9.04")),
        ("exchange", "USD", Decimal("10.00")),
        ("exchange", "EUR", Decimal("-9.05")),
        ("rounding", "EUR", Decimal("0.01")),
    ]
    row = Transaction.objects.get(pk=record.id)
    assert (row.kind, row.to_amount, row.to_currency) == ("conversion", Decimal("9.04"), "EUR")
    assert (row.facts or {})["rate"] == "0.904545454544"


@override_settings(FX_SPREAD_PERCENT="0")
def test_what_divides_evenly_leaves_no_residue() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    record = convert(owner, dollars, euros, "10.00").transaction
    assert [leg[0] for leg in legs_of(record.id)] == ["user", "user", "exchange", "exchange"]
    assert text_of(euros) == "8.00"


@override_settings(FX_SPREAD_PERCENT="0")
@pytest.mark.parametrize(
    ("currency", "rate", "bought"), [("JPY", "0.0066", "1515"), ("KWD", "3.25", "3.076")]
)
def test_what_is_bought_has_its_own_currencys_places(currency: str, rate: str, bought: str) -> None:
    base, quote = sorted((currency, "USD"))
    set_rate(base, quote, rate)
    owner, dollars, other = pair("10.00", currency)
    convert(owner, dollars, other, "10.00")
    assert text_of(other) == bought


@override_settings(FEES={"conversion": {"*": {"USD": {"flat": "0.25"}}}}, FX_SPREAD_PERCENT="0")
def test_a_fee_is_paid_beyond_the_amount_in_the_currency_that_is_sold() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair("10.25")
    require_declined(declines.InsufficientFunds, owner, dollars, euros, "10.01")
    record = convert(owner, dollars, euros, "10.00").transaction
    assert (text_of(dollars), text_of(euros)) == ("0.00", "8.00")
    assert legs_of(record.id)[-1] == ("fees", "USD", Decimal("0.25"))
    assert Transaction.objects.get(pk=record.id).fee == Decimal("0.25")


def test_no_identity_and_no_limit_of_sending_is_asked_for() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair("1000.00", tier=0)
    assert convert(owner, dollars, euros, "1000.00").transaction.decline is None
    assert fresh(dollars).spent_in_day == 0


@override_settings(FX_SPREAD_PERCENT="0")
def test_what_is_bought_stays_within_the_largest_balance_over_all_pots() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair("500.00", tier=0)
    open_pot(owner, "EUR", "900.00")
    require_declined(declines.BalanceLimitExceeded, owner, dollars, euros, "125.02")
    assert convert(owner, dollars, euros, "125.00").transaction.decline is None


def test_funds_and_an_overdraft_are_all_that_may_be_sold() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair("10.00")
    require_declined(declines.InsufficientFunds, owner, dollars, euros, "10.01")
    set_overdraft(wallet_id=dollars.pk, limit="5.00", acting_user=owner)
    assert convert(owner, dollars, euros, "15.00").transaction.decline is None
    assert text_of(dollars) == "-5.00"


def test_the_first_refusal_that_applies_is_told() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair("1.00")
    pot = open_pot(owner)
    row = require_declined(declines.CurrencyMismatch, owner, dollars, pot, "5.00")
    assert (row.to_amount, row.to_currency) == (None, "")
    require_declined(declines.CurrencyMismatch, owner, dollars, dollars, "5.00")
    expired = quote(owner, dollars, euros, "5.00", lifetime=datetime.timedelta(0))
    require_declined(declines.QuoteExpired, owner, dollars, euros, "5.00", quote_id=expired.pk)
    freeze_wallet(wallet_id=euros.pk, acting_user=owner, reason="test")
    require_declined(declines.WalletFrozen, owner, dollars, euros, "5.00", quote_id=expired.pk)
    close_wallet(wallet_id=pot.pk, owner_id=owner.pk)
    require_declined(declines.WalletClosed, owner, dollars, pot, "5.00")


def test_only_own_wallets_are_converted() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    stranger = open_pot(make_payee(), "EUR")
    for source, target in ((dollars, stranger), (stranger, euros)):
        with pytest.raises(declines.SourceWalletNotFound):
            convert(owner, source, target, "1.00")
        with pytest.raises(declines.SourceWalletNotFound):
            quote(owner, source, target, "1.00")
    assert text_of(dollars) == "100.00"


def test_what_buys_less_than_the_smallest_unit_uses_up_no_key() -> None:
    set_rate("JPY", "USD", "0.0066")
    owner, dollars, yen = pair(currency="JPY")
    request = keyed(owner)
    with pytest.raises(InvalidInput) as refusal:
        convert(owner, dollars, yen, "0.00", request=request)
    with pytest.raises(InvalidInput) as refusal:
        convert(owner, yen, open_pot(owner, "KWD"), "0.5", request=request)
    assert list(refusal.value.facts["errors"]) == ["amount"]
    set_rate("JPY", "USD", "10")
    with pytest.raises(InvalidInput) as refusal:
        convert(owner, dollars, yen, "0.01", request=request)
    assert refusal.value.facts["codes"] == {"amount": ["too_small"]}
    assert not Transaction.objects.filter(initiated_by=owner).exists()


def test_what_buys_more_than_can_be_written_is_refused_for_its_size() -> None:
    set_rate("JPY", "USD", "0.000001")
    owner, dollars, yen = pair(currency="JPY")
    with pytest.raises(InvalidInput) as refusal:
        convert(owner, dollars, yen, "999999999999.99")
    assert refusal.value.facts["codes"] == {"amount": ["too_large"]}
    set_rate("JPY", "USD", "0.0066")


def test_without_a_rate_nothing_is_written_and_a_retry_still_gets_its_answer() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    instruction = conversion(owner, dollars, euros, "10.00")
    first = convert_by(instruction)
    with override_settings(RATE_PROVIDER=NO_RATES):
        again = convert_by(instruction)
        with pytest.raises(declines.RateUnavailable):
            convert(owner, dollars, euros, "10.00")
    assert again.is_replay
    assert again.transaction == first.transaction
    assert Transaction.objects.filter(initiated_by=owner).count() == 1


def test_a_retry_at_another_rate_gets_the_first_answer() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    instruction = conversion(owner, dollars, euros, "10.00")
    first = convert_by(instruction)
    set_rate("EUR", "USD", "2.50")
    assert convert_by(instruction).transaction == first.transaction
    assert text_of(dollars) == "90.00"


def test_a_key_of_another_request_is_refused() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    request = keyed(owner)
    convert(owner, dollars, euros, "10.00", request=request)
    other = type(request)(request.caller_id, request.idempotency_key, b"g" * 32)
    with pytest.raises(declines.IdempotencyKeyReused):
        convert(owner, dollars, euros, "20.00", request=other)
    assert text_of(dollars) == "90.00"


def test_a_deactivated_caller_converts_nothing() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    User.objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(declines.CallerInactive):
        convert(owner, dollars, euros, "1.00")


def quote(
    owner: User,
    source: Wallet,
    target: Wallet,
    amount: str,
    lifetime: datetime.timedelta = datetime.timedelta(minutes=1),
) -> Quote:
    with override_settings(QUOTE_LIFETIME=lifetime):
        return quote_conversion(
            owner=owner, source_wallet_id=source.pk, target_wallet_id=target.pk, amount=amount
        )


@override_settings(FX_SPREAD_PERCENT="0")
def test_a_quote_keeps_rate_and_fee_whatever_changes_meanwhile() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    with override_settings(FEES={"conversion": {"*": {"*": {"percent": "1"}}}}):
        kept = quote(owner, dollars, euros, "10.00")
        assert (kept.to_amount, kept.fee) == (8, Decimal("0.10"))
        set_rate("EUR", "USD", "2.50")
        record = convert(owner, dollars, euros, "10.00", quote_id=kept.pk).transaction
    assert (text_of(dollars), text_of(euros)) == ("89.90", "8.00")
    assert record.facts is not None
    assert record.facts["quote"] == str(kept.pk)
    kept.refresh_from_db()
    assert kept.transaction_id == record.id


def test_a_quote_serves_one_conversion_and_its_retries() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    kept = quote(owner, dollars, euros, "10.00")
    instruction = conversion(owner, dollars, euros, "10.00", quote_id=kept.pk)
    first = convert_by(instruction)
    assert convert_by(instruction).transaction == first.transaction
    with pytest.raises(declines.QuoteUsed):
        convert(owner, dollars, euros, "10.00", quote_id=kept.pk)
    assert text_of(dollars) == "90.00"


def test_a_decline_uses_up_no_quote() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair("5.00")
    kept = quote(owner, dollars, euros, "10.00")
    require_declined(declines.InsufficientFunds, owner, dollars, euros, "10.00", quote_id=kept.pk)
    set_overdraft(wallet_id=dollars.pk, limit="5.00", acting_user=owner)
    outcome = convert(owner, dollars, euros, "10.00", quote_id=kept.pk)
    assert outcome.transaction.decline is None


def test_a_quote_fits_its_owner_its_wallets_and_its_amount() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    kept = quote(owner, dollars, euros, "10.00")
    stranger, theirs, others = pair()
    with pytest.raises(declines.QuoteNotFound):
        convert(stranger, theirs, others, "10.00", quote_id=kept.pk)
    for source, target, amount in (
        (dollars, euros, "10.01"),
        (dollars, open_pot(owner, "EUR"), "10.00"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            convert(owner, source, target, amount, quote_id=kept.pk)
        assert list(refusal.value.facts["errors"]) == ["quote"]
    assert (text_of(dollars), text_of(theirs)) == ("100.00", "100.00")


def test_old_quotes_that_served_nothing_are_forgotten() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    ago = -datetime.timedelta(days=2)
    old, current = quote(owner, dollars, euros, "1.00", ago), quote(owner, dollars, euros, "1.00")
    instruction = conversion(owner, dollars, euros, "1.00", quote_id=old.pk)
    first = convert_by(instruction)
    assert type(first.transaction.decline) is declines.QuoteExpired
    assert prune_quotes() >= 1
    assert list(Quote.objects.filter(owner=owner)) == [current]
    assert convert_by(instruction).transaction == first.transaction


def totals() -> dict[str, Decimal]:
    """What all wallets hold, by currency."""
    rows = Wallet.objects.values_list("currency").annotate(total=Sum("balance"))
    return {currency: total for currency, total in rows if total}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cents=st.integers(1, 10**6),
    rate=st.decimals("0.01", "100", places=6),
    spread=st.sampled_from(["0", "0.5"]),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_there_and_back_makes_no_money_and_every_currency_sums_to_zero(
    cents: int, rate: Decimal, spread: str, currency: str
) -> None:
    base, quoted = sorted((currency, "USD"))
    set_rate(base, quoted, str(rate))
    amount = Decimal(cents).scaleb(-2)
    owner, dollars, other = pair(str(amount), currency)
    with override_settings(FX_SPREAD_PERCENT=spread):
        for source, target in ((dollars, other), (other, dollars)):
            held = fresh(source)
            with suppress(InvalidInput):  # It may buy less than the smallest unit.
                convert(owner, source, target, str(held.money(held.balance)))
    assert fresh(dollars).balance <= amount
    assert totals() == {}
    residues = Wallet.objects.filter(kind=WalletKind.ROUNDING)
    assert all(wallet.balance >= 0 for wallet in residues)


def test_one_key_converted_by_many_at_once_has_one_effect() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    instruction = conversion(owner, dollars, euros, "10.00")
    told = at_once(8, lambda _: convert_by(instruction))
    assert sum(not outcome.is_replay for outcome in told) == 1
    assert text_of(dollars) == "90.00"


def test_of_many_conversions_at_once_no_more_succeed_than_there_is_money_for() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair("50.00")
    told = at_once(10, lambda _: convert(owner, dollars, euros, "10.00").transaction.decline)
    assert sum(decline is None for decline in told) == 5
    assert text_of(dollars) == "0.00"


def test_of_many_who_use_a_quote_at_once_one_does() -> None:
    set_rate("EUR", "USD", "1.25")
    owner, dollars, euros = pair()
    kept = quote(owner, dollars, euros, "10.00")

    def act(_: int) -> bool:
        try:
            convert(owner, dollars, euros, "10.00", quote_id=kept.pk)
        except declines.QuoteUsed:
            return False
        return True

    assert sum(at_once(6, act)) == 1
    assert text_of(dollars) == "90.00"


def test_conversions_in_both_directions_at_once_all_succeed() -> None:
    set_rate("EUR", "USD", "1.25")
    owners = [make_payer("100.00") for _ in range(4)]
    pots = [open_pot(owner, "EUR", "100.00") for owner in owners]

    def act(index: int) -> set[type]:
        owner, pot = owners[index % 4], pots[index % 4]
        ways = ((wallet_of(owner), pot), (pot, wallet_of(owner)))
        source, target = ways[index // 4]
        return {type(convert(owner, source, target, "3.33").transaction.decline) for _ in range(5)}

    assert set().union(*at_once(8, act)) == {type(None)}
