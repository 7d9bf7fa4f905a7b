"""Several wallets of one owner: money moves freely between them, and limits count over all of them."""

import itertools
from typing import Any

import pytest
from django.test import override_settings

from transactions import declines, services
from transactions.declines import Decline
from transactions.instructions import Recipient
from transactions.selectors import get_limits
from transactions.tests.exchange_factories import fresh, fund, open_pot
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import at_once
from wallet.models import Wallet

pytestmark = pytest.mark.usefixtures("committed")

LIMITS = {
    tier: {
        currency: {
            "per_transfer": "100",
            "per_day": "200",
            "per_month": "200",
            "largest_balance": "1000",
        }
        for currency in ("USD", "EUR")
    }
    for tier in (0, 1, 2)
}


def send(payer: User, source: Wallet, payee: User, amount: str, **overrides: Any) -> Decline | None:
    instruction = instruct(payer, payee, amount, source_wallet_id=source.pk, **overrides)
    return services.transfer(instruction).transaction.decline


def shift(owner: User, source: Wallet, target: Wallet, amount: str) -> Decline | None:
    """Move money between two wallets of the owner."""
    return send(owner, source, owner, amount, recipient=Recipient(wallet_id=target.pk))


@override_settings(LIMITS=LIMITS)
def test_between_own_wallets_no_identity_and_no_limit_is_asked_for() -> None:
    user = make_payer("1000.00", tier=0)
    first, pot = wallet_of(user), open_pot(user)
    for source, target in ((first, pot), (pot, first), (first, pot)):
        assert shift(user, source, target, "1000.00") is None
    assert (fresh(first).balance, fresh(pot).balance) == (0, 1000)
    assert fresh(first).spent_in_day == 0


def test_between_own_wallets_only_what_is_there_moves() -> None:
    user = make_payer("10.00")
    first, pot = wallet_of(user), open_pot(user)
    assert type(shift(user, first, pot, "10.01")) is declines.InsufficientFunds
    assert type(shift(user, pot, pot, "1.00")) is declines.SelfTransfer
    euros = open_pot(user, "EUR")
    assert type(shift(user, first, euros, "1.00")) is declines.CurrencyMismatch
    assert fresh(first).balance == 10


def test_a_pot_is_anothers_to_pay_into_and_never_to_pay_from() -> None:
    owner, other = make_payee(), make_payer("5.00")
    pot = open_pot(owner, balance="7.00")
    into = instruct(other, owner, "5.00", recipient=Recipient(wallet_id=pot.pk))
    assert services.transfer(into).transaction.decline is None
    with pytest.raises(declines.SourceWalletNotFound):
        send(other, pot, other, "1.00")
    assert fresh(pot).balance == 12


@override_settings(LIMITS=LIMITS)
def test_splitting_over_pots_passes_no_daily_limit() -> None:
    payer, payee = make_payee(), make_payee()
    pots = [open_pot(payer, balance="100.00") for _ in range(3)]
    told = [send(payer, pot, payee, "80.00") for pot in pots]
    assert [type(decline) for decline in told[:2]] == [type(None)] * 2
    assert isinstance(told[2], declines.LimitExceeded)
    assert told[2].facts["remaining"] == "40.00"
    assert wallet_of(payee).balance == 160


@override_settings(LIMITS=LIMITS)
def test_another_currency_has_limits_of_its_own() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    euros, theirs = open_pot(payer, "EUR", "300.00"), open_pot(payee, "EUR")
    send(payer, wallet_of(payer), payee, "100.00")
    to_pot = {"recipient": Recipient(wallet_id=theirs.pk)}
    assert send(payer, euros, payee, "100.00", **to_pot) is None
    assert send(payer, euros, payee, "100.00", **to_pot) is None
    assert type(send(payer, euros, payee, "1.00", **to_pot)) is declines.LimitExceeded


@override_settings(LIMITS=LIMITS)
def test_splitting_over_pots_passes_no_largest_balance() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    pots = [open_pot(payee, balance="480.00") for _ in range(2)]
    into = [Recipient(wallet_id=pot.pk) for pot in pots]
    told = [send(payer, wallet_of(payer), payee, "30.00", recipient=one) for one in into]
    assert [type(decline) for decline in told] == [type(None), declines.BalanceLimitExceeded]
    # Money that only moves between the payee's pots makes room for nothing.
    shift(payee, pots[0], pots[1], "400.00")
    again = send(payer, wallet_of(payer), payee, "30.00", recipient=into[0])
    assert type(again) is declines.BalanceLimitExceeded


@override_settings(LIMITS=LIMITS)
def test_racing_over_pots_passes_no_daily_limit() -> None:
    payer, payee = make_payee(), make_payee()
    pots = [open_pot(payer, balance="100.00") for _ in range(8)]
    told = at_once(8, lambda index: send(payer, pots[index], payee, "50.00"))
    assert sum(decline is None for decline in told) == 4
    assert wallet_of(payee).balance == 200


@override_settings(LIMITS=LIMITS)
def test_racing_into_pots_passes_no_largest_balance() -> None:
    payers, payee = [make_payer("100.00") for _ in range(6)], make_payee()
    pots = [open_pot(payee) for _ in range(3)]
    fund(pots[0], "700.00")

    def act(index: int) -> Decline | None:
        one = Recipient(wallet_id=pots[index % 3].pk)
        return send(payers[index], wallet_of(payers[index]), payee, "100.00", recipient=one)

    assert sum(decline is None for decline in at_once(6, act)) == 3
    assert sum(fresh(pot).balance for pot in pots) == 1000


def test_moving_money_round_in_circles_at_once_loses_nothing() -> None:
    user = make_payer("90.00")
    wallets = [wallet_of(user), open_pot(user), open_pot(user)]
    for target in wallets[1:]:
        shift(user, wallets[0], target, "30.00")
    ways = list(itertools.permutations(wallets, 2))
    told = at_once(6, lambda index: [shift(user, *ways[index], "0.01") for _ in range(5)])
    assert {type(decline) for result in told for decline in result} == {type(None)}
    assert [fresh(wallet).balance for wallet in wallets] == [30, 30, 30]


@override_settings(LIMITS=LIMITS)
def test_a_profile_tells_what_is_left_after_pots_have_spent() -> None:
    payer = make_payee()
    send(payer, open_pot(payer, balance="100.00"), make_payee(), "70.00")
    payee = make_payee()
    theirs = Recipient(wallet_id=open_pot(payee, "EUR").pk)
    assert send(payer, open_pot(payer, "EUR", "9.00"), payee, "1.00", recipient=theirs) is None
    told = get_limits(payer)
    assert told["currency"] == "USD"
    assert told["remaining"]["per_day"] == "130.00"
