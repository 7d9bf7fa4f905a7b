"""Deposits: the provider's money is credited once per reference, and a refusal is one for good."""

import uuid
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from fintech_core.money import Money
from payments.services import record_deposit
from transactions import declines
from transactions.tests.factories import balance_of, make_payee, wallet_of
from users.models import User
from wallet.models import Wallet
from wallet.services import freeze_wallet

pytestmark = pytest.mark.usefixtures("committed")

FIVE = Money(Decimal("5.00"), "USD")


def test_a_deposit_is_credited_once_per_reference() -> None:
    user, reference = make_payee(), uuid.uuid4().hex
    first = record_deposit(provider="test", user=user, amount=FIVE, reference=reference)
    again = record_deposit(provider="test", user=user, amount=FIVE, reference=reference)
    assert first.id == again.id
    assert balance_of(user) == "5.00"


def test_one_reference_cannot_stand_for_two_amounts() -> None:
    user, reference = make_payee(), uuid.uuid4().hex
    record_deposit(provider="test", user=user, amount=FIVE, reference=reference)
    with pytest.raises(declines.IdempotencyKeyReused):
        record_deposit(provider="test", user=user, amount=FIVE + FIVE, reference=reference)
    assert balance_of(user) == "5.00"


def test_the_providers_cash_wallet_carries_the_other_side() -> None:
    provider = f"p{uuid.uuid4().hex[:8]}"
    record_deposit(provider=provider, user=make_payee(), amount=FIVE, reference="1")
    record_deposit(provider=provider, user=make_payee(), amount=FIVE, reference="2")
    assert Wallet.objects.get(purpose=f"cash:{provider}").balance == Decimal("-10.00")


def test_a_frozen_wallet_and_a_full_one_are_not_credited() -> None:
    frozen, small = make_payee(), make_payee(tier=0)
    freeze_wallet(wallet_id=wallet_of(frozen).pk, acting_user=small, reason="test")
    with pytest.raises(declines.WalletFrozen):
        record_deposit(provider="test", user=frozen, amount=FIVE, reference=uuid.uuid4().hex)
    too_much = Money(Decimal("1000.01"), "USD")
    with pytest.raises(declines.BalanceLimitExceeded):
        record_deposit(provider="test", user=small, amount=too_much, reference=uuid.uuid4().hex)
    assert (balance_of(frozen), balance_of(small)) == ("0.00", "0.00")


def test_the_demo_is_made_once_and_only_where_it_is_switched_on() -> None:
    with override_settings(DEMO=False), pytest.raises(CommandError):
        call_command("seed_demo")
    assert not User.objects.filter(email="user@example.com").exists()
    with override_settings(DEMO=True):
        for _ in range(2):
            call_command("seed_demo", stdout=StringIO())
    for email in ("user@example.com", "recipient@example.com"):
        user = User.objects.get(email=email)
        assert (balance_of(user), user.kyc_status) == ("1000.00", "approved")
    assert User.objects.get(email="admin@example.com").is_superuser
