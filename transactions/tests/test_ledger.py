"""The journal: how it dates what it posts, and what it gives back."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from transactions import accounts, services
from transactions.instructions import Recipient
from transactions.models import LedgerEntry
from transactions.services import transfers
from transactions.tests.factories import instruct, make_payee, wallet_of
from users.models import User
from wallet.models import Wallet, WalletKind
from wallet.services import open_platform_wallet

pytestmark = pytest.mark.usefixtures("committed")

NOON = datetime.datetime(2024, 1, 15, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


@contextmanager
def at(moment: datetime.datetime) -> Iterator[None]:
    """The service believes that it is this late; the database would refuse what is ahead of its clock."""
    read = accounts._opened

    def opened(*found: Any) -> accounts.Opened:
        result = read(*found)
        result.read_at = moment
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "_opened", opened)
        yield


def make_overdrawn(limit: str = "100.00") -> User:
    """A user who can pay without a deposit, whose wallet so has no entry of today."""
    user = make_payee()
    Wallet.objects.filter(user=user).update(overdraft_limit=Decimal(limit))
    return user


def test_a_fee_wallet_that_is_ahead_of_a_clock_that_was_set_back_stops_no_transfer(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.FEES = {"transfer": {"*": {"USD": {"flat": "0.50"}}}}
    fees = open_platform_wallet(purpose="fees of a test", kind=WalletKind.FEES, currency="USD")
    monkeypatch.setattr(transfers, "fee_wallets", lambda: {"USD": fees.pk})
    with at(NOON):
        first = services.transfer(instruct(make_overdrawn(), make_payee(), "1.00"))
    with at(NOON - HOUR):
        second = services.transfer(instruct(make_overdrawn(), make_payee(), "1.00"))
    assert second.transaction.status == "posted"
    assert first.transaction.created_at == second.transaction.created_at == NOON
    moments = LedgerEntry.objects.filter(wallet=fees).values_list("created_at", flat=True)
    assert set(moments) == {NOON}


def test_a_hold_for_an_own_wallet_gives_back_no_limit_when_it_ends() -> None:
    """It never counted for one; else limits could be spent again by holding and letting go."""
    payer, payee = make_overdrawn(), make_payee()
    pot = Wallet.objects.create(
        owner=payer, currency="USD", name="Pot", limits_wallet=wallet_of(payer)
    )
    to_pot = Recipient(wallet_id=pot.pk)
    with at(NOON):
        services.transfer(instruct(payer, payee, "30.00"))
        services.transfer(instruct(payer, payer, "40.00", recipient=to_pot, hold_for=HOUR))
        services.transfer(instruct(payer, payee, "20.00", hold_for=HOUR))
    wallet = wallet_of(payer)
    assert (wallet.held, wallet.spent_in_day) == (Decimal("60.00"), Decimal("50.00"))
    with at(NOON + 2 * HOUR):
        services.transfer(instruct(payer, payee, "1.00"))
    wallet = wallet_of(payer)
    assert (wallet.held, wallet.spent_in_day) == (Decimal(0), Decimal("31.00"))


def test_an_expired_hold_ends_in_a_currency_without_places() -> None:
    payer, payee = make_overdrawn(), make_payee()
    yen = [Wallet.objects.create(owner=owner, currency="JPY").pk for owner in (payer, payee)]
    Wallet.objects.filter(pk=yen[0]).update(overdraft_limit=1_000)
    to_yen = Recipient(wallet_id=yen[1])
    asked = {"recipient": to_yen, "source_wallet_id": yen[0]}
    with at(NOON):
        services.transfer(instruct(payer, payee, "700", hold_for=HOUR, **asked))
    with at(NOON + HOUR):
        outcome = services.transfer(instruct(payer, payee, "900", **asked))
    assert outcome.transaction.status == "posted"
