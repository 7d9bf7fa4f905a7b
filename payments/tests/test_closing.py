"""A wallet that money may still come to by a provider is not closed."""

import contextlib

import pytest

from payments import services
from payments.models import PaymentIntent
from payments.providers.base import PaymentState, RefundState
from payments.tests.fakes import (
    FakeProvider,
    asking,
    make_intent,
    make_paid_intent,
    make_refund,
    reread,
    tell,
)
from transactions.declines import WalletClosed
from transactions.services import close_wallet
from transactions.tests.factories import balance_of, make_payee, wallet_of
from users.models import User
from users.tests.factories import api_client, at_once
from wallet.models import Wallet
from wallet.services import WalletInUse


def close(user: User) -> Wallet:
    return close_wallet(wallet_id=wallet_of(user).pk, owner_id=user.pk)


@pytest.mark.parametrize("state", [PaymentState.REQUIRES_CONFIRMATION, PaymentState.PROCESSING])
def test_a_wallet_that_is_being_paid_into_stays_open(
    fake: FakeProvider, state: PaymentState
) -> None:
    user = make_payee()
    intent = make_intent(user)
    tell(fake, intent, state, fetched=True)
    with pytest.raises(WalletInUse):
        close(user)
    tell(fake, intent, PaymentState.SUCCEEDED, fetched=True)
    assert (reread(intent).status, balance_of(user)) == ("succeeded", "25.00")


def test_a_wallet_whose_payment_was_called_off_is_closed(fake: FakeProvider) -> None:
    user = make_payee()
    intent = make_intent(user)
    services.cancel_intent(user=user, intent_id=intent.pk)
    assert close(user).status == "closed"


def test_a_wallet_stays_open_until_its_refunds_have_arrived(fake: FakeProvider) -> None:
    user = make_payee()
    refund = make_refund(make_paid_intent(fake, user))
    with pytest.raises(WalletInUse):
        close(user)
    fake.refunded_becomes = RefundState.SUCCEEDED
    services.check_refund(refund.pk)
    assert close(user).status == "closed"


def test_closing_is_a_409_while_a_payment_is_open(fake: FakeProvider) -> None:
    user = make_payee()
    make_intent(user)
    response = api_client(user).post(f"/api/wallet/wallets/{wallet_of(user).pk}/close/")
    assert (response.status_code, response.json()["code"]) == (409, "wallet_in_use")


def test_a_payment_and_a_closing_at_once_never_leave_an_open_payment_of_a_closed_wallet(
    fake: FakeProvider,
) -> None:
    for headstart in range(10):
        user = make_payee()

        def act(number: int, user: User = user, headstart: int = headstart) -> None:
            if number:
                services.create_intent(user=user, amount="5.00", request=asking(user))
                return
            for _ in range(headstart):
                wallet_of(user)
            close(user)

        with contextlib.suppress(WalletInUse, WalletClosed):
            at_once(2, act)
        is_open = PaymentIntent.objects.filter(user=user).exists()
        assert is_open == (wallet_of(user).status != "closed")
