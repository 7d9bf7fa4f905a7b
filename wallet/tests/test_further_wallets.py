"""Further wallets: opened up to a number, closed when empty, overdrawn as far as staff allow."""

import datetime
import uuid
from typing import Any

import pytest
from django.test import override_settings

from events.models import AuditRecord
from fintech_core.exceptions import InvalidInput, NotFound
from transactions import services
from transactions.declines import InsufficientFunds, WalletClosed
from transactions.instructions import Recipient
from transactions.models import Transaction
from transactions.services import close_wallet
from transactions.tests.exchange_factories import fresh, fund, open_pot
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from users.models import User
from wallet.models import Hold, Wallet, WalletKind
from wallet.services import (
    InvalidWalletState,
    OverdraftInUse,
    TooManyWallets,
    WalletNotEmpty,
    freeze_wallet,
    open_platform_wallet,
    open_wallet,
    set_overdraft,
)

pytestmark = pytest.mark.usefixtures("committed")


def pay(payer: User, source: Wallet, amount: str, **overrides: Any) -> Any:
    """A transfer out of one of the payer's wallets to somebody new."""
    return services.transfer(
        instruct(payer, make_payee(), amount, source_wallet_id=source.pk, **overrides)
    ).transaction


def test_a_pot_counts_its_limits_at_the_first_wallet_of_its_currency() -> None:
    user = make_payee()
    pot = open_pot(user)
    assert (pot.owner_id, pot.user_id, pot.limits_wallet_id) == (user.pk, None, wallet_of(user).pk)


def test_the_first_wallet_of_a_currency_counts_its_own_limits_even_once_it_is_closed() -> None:
    user = make_payee()
    first = open_pot(user, "EUR")
    assert first.limits_wallet_id is None
    close_wallet(wallet_id=first.pk, owner_id=user.pk)
    again = open_pot(user, "EUR", "5.00")
    assert again.limits_wallet_id == first.pk
    theirs = open_pot(make_payee(), "EUR")
    pay(user, again, "2.00", recipient=Recipient(wallet_id=theirs.pk))
    assert (fresh(first).spent_in_day, fresh(again).balance) == (2, 3)


def test_a_currency_that_is_not_offered_opens_nothing() -> None:
    user = make_payee()
    with pytest.raises(InvalidInput):
        open_wallet(owner=user, currency="XXX", name="Pot")
    assert Wallet.objects.filter(owner=user).count() == 1


@override_settings(WALLETS_PER_USER=3)
def test_a_user_has_so_many_open_wallets_and_may_close_one_for_another() -> None:
    user = make_payee()
    pot, _ = open_pot(user), open_pot(user, "EUR")
    with pytest.raises(TooManyWallets):
        open_pot(user)
    close_wallet(wallet_id=pot.pk, owner_id=user.pk)
    open_pot(user)
    assert Wallet.objects.filter(owner=user).exclude(status="closed").count() == 3


def test_closing_is_on_record_and_happens_once() -> None:
    user = make_payee()
    pot = open_pot(user)
    assert close_wallet(wallet_id=pot.pk, owner_id=user.pk).status == "closed"
    with pytest.raises(InvalidWalletState):
        close_wallet(wallet_id=pot.pk, owner_id=user.pk)
    trail = AuditRecord.objects.filter(subject_id=pot.pk).order_by("sequence")
    assert [(r.action, r.actor_id) for r in trail] == [
        ("wallet.opened", user.pk),
        ("wallet.closed", user.pk),
    ]


def test_a_wallet_with_money_is_not_closed() -> None:
    user = make_payer("0.01")
    with pytest.raises(WalletNotEmpty):
        close_wallet(wallet_id=wallet_of(user).pk, owner_id=user.pk)
    assert wallet_of(user).status == "active"


def test_a_frozen_wallet_is_not_closed() -> None:
    user = make_payee()
    pot = open_pot(user)
    freeze_wallet(wallet_id=pot.pk, acting_user=user, reason="test")
    with pytest.raises(InvalidWalletState):
        close_wallet(wallet_id=pot.pk, owner_id=user.pk)


def test_nobody_closes_anothers_wallet_or_the_platforms() -> None:
    user = make_payee()
    cash = open_platform_wallet(purpose="cash:test", kind=WalletKind.CASH, currency="USD")
    for wallet_id in (wallet_of(make_payee()).pk, cash.pk, uuid.uuid4()):
        with pytest.raises(NotFound):
            close_wallet(wallet_id=wallet_id, owner_id=user.pk)


def test_a_closed_wallet_neither_sends_nor_receives() -> None:
    payer = make_payer("5.00")
    pot = open_pot(payer)
    close_wallet(wallet_id=pot.pk, owner_id=payer.pk)
    assert type(pay(payer, pot, "1.00").decline) is WalletClosed
    into = instruct(payer, payer, "1.00", recipient=Recipient(wallet_id=pot.pk))
    assert type(services.transfer(into).transaction.decline) is WalletClosed
    assert wallet_of(payer).balance == 5


def overdrawn_by_a_hold(hold_for: datetime.timedelta) -> tuple[User, Wallet, uuid.UUID]:
    """A pot with nothing in it and a hold on its overdraft."""
    user = make_payee()
    pot = open_pot(user)
    set_overdraft(wallet_id=pot.pk, limit="10.00", acting_user=user)
    record = pay(user, pot, "4.00", hold_for=hold_for)
    assert (record.status, fresh(pot).held) == ("pending", 4)
    return user, pot, record.id


def test_a_wallet_that_holds_something_is_not_closed() -> None:
    user, pot, _ = overdrawn_by_a_hold(datetime.timedelta(hours=1))
    with pytest.raises(WalletNotEmpty):
        close_wallet(wallet_id=pot.pk, owner_id=user.pk)
    assert (fresh(pot).status, fresh(pot).held) == ("active", 4)


def test_a_hold_that_ran_out_keeps_no_wallet_open() -> None:
    user, pot, hold_id = overdrawn_by_a_hold(datetime.timedelta(microseconds=1))
    close_wallet(wallet_id=pot.pk, owner_id=user.pk)
    assert (fresh(pot).status, fresh(pot).held) == ("closed", 0)
    assert Hold.objects.get(pk=hold_id).status == "expired"
    assert Transaction.objects.get(parent_id=hold_id).status == "expired"


def test_an_overdraft_may_be_used_up_but_not_a_cent_more() -> None:
    user, operator = make_payer("5.00"), make_payee()
    wallet = wallet_of(user)
    set_overdraft(wallet_id=wallet.pk, limit="10.00", acting_user=operator)
    assert type(pay(user, wallet, "15.01").decline) is InsufficientFunds
    assert pay(user, wallet, "15.00").decline is None
    assert type(pay(user, wallet, "0.01").decline) is InsufficientFunds
    assert wallet_of(user).balance == -10


def test_an_overdraft_in_use_is_not_lowered_below_what_is_used() -> None:
    user, operator = make_payee(), make_payee()
    wallet = wallet_of(user)
    set_overdraft(wallet_id=wallet.pk, limit="10.00", acting_user=operator)
    pay(user, wallet, "3.00")
    pay(user, wallet, "4.00", hold_for=datetime.timedelta(hours=1))
    with pytest.raises(OverdraftInUse):
        set_overdraft(wallet_id=wallet.pk, limit="6.99", acting_user=operator)
    assert wallet_of(user).overdraft_limit == 10
    set_overdraft(wallet_id=wallet.pk, limit="7.00", acting_user=operator)
    assert type(pay(user, wallet, "0.01").decline) is InsufficientFunds


def test_an_overdraft_is_on_record() -> None:
    user, operator = make_payee(), make_payee()
    for limit in ("10.00", "0.00"):
        set_overdraft(wallet_id=wallet_of(user).pk, limit=limit, acting_user=operator)
    trail = AuditRecord.objects.filter(subject_id=wallet_of(user).pk).order_by("sequence")
    assert [(r.actor_id, r.before["limit"], r.after["limit"]) for r in trail] == [
        (operator.pk, None, "10.00"),
        (operator.pk, "10.00", "0.00"),
    ]


@pytest.mark.parametrize("limit", ["1.001", "-1.00", "1e3", "NaN", ""])
def test_an_overdraft_is_an_amount_of_the_wallets_currency(limit: str) -> None:
    user = make_payee()
    with pytest.raises(InvalidInput):
        set_overdraft(wallet_id=wallet_of(user).pk, limit=limit, acting_user=user)
    assert wallet_of(user).overdraft_limit is None


def test_the_platforms_and_closed_wallets_have_no_overdraft() -> None:
    user = make_payee()
    cash = open_platform_wallet(purpose="cash:test", kind=WalletKind.CASH, currency="USD")
    with pytest.raises(NotFound):
        set_overdraft(wallet_id=cash.pk, limit="1.00", acting_user=user)
    pot = open_pot(user)
    close_wallet(wallet_id=pot.pk, owner_id=user.pk)
    with pytest.raises(InvalidWalletState):
        set_overdraft(wallet_id=pot.pk, limit="1.00", acting_user=user)


def test_what_is_paid_in_covers_an_overdraft_first() -> None:
    user, operator = make_payee(), make_payee()
    wallet = wallet_of(user)
    set_overdraft(wallet_id=wallet.pk, limit="10.00", acting_user=operator)
    pay(user, wallet, "8.00")
    assert fund(wallet, "5.00").balance == -3
    set_overdraft(wallet_id=wallet.pk, limit="3.00", acting_user=operator)
    with pytest.raises(WalletNotEmpty):
        close_wallet(wallet_id=wallet.pk, owner_id=user.pk)
