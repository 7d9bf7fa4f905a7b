"""Wallets: one for every user from the start, frozen and thawed on record, never twice."""

import uuid

import pytest
from django.db import IntegrityError, transaction

from events.models import AuditRecord
from fintech_core.exceptions import NotFound
from transactions.tests.factories import make_payee, wallet_of
from users.models import User
from users.tests.factories import at_once
from wallet.models import Wallet, WalletKind
from wallet.services import (
    InvalidWalletState,
    freeze_wallet,
    open_platform_wallet,
    rename_wallet,
    unfreeze_wallet,
)

pytestmark = pytest.mark.usefixtures("committed")


def test_every_user_has_an_empty_wallet_from_the_start() -> None:
    wallet = wallet_of(make_payee())
    assert (wallet.currency, wallet.balance, wallet.held, wallet.status) == ("USD", 0, 0, "active")


def test_a_user_without_a_wallet_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no wallet today")

    monkeypatch.setattr("wallet.signals.open_primary_wallet", fail)
    email = f"{uuid.uuid4().hex}@example.com"
    with pytest.raises(RuntimeError):
        User.objects.create_user(email)
    assert not User.objects.filter(email=email).exists()


def test_a_user_has_one_primary_wallet() -> None:
    user = make_payee()
    with pytest.raises(IntegrityError), transaction.atomic():
        Wallet.objects.create(user=user, currency="USD")


def test_a_platform_wallet_is_opened_once_however_many_ask() -> None:
    purpose = f"cash:{uuid.uuid4().hex[:8]}"
    opened = at_once(
        8,
        lambda _: open_platform_wallet(purpose=purpose, kind=WalletKind.CASH, currency="EUR").pk,
    )
    assert len(set(opened)) == 1


def test_freezing_is_on_record_and_happens_once() -> None:
    user, operator = make_payee(), make_payee()
    wallet_id = wallet_of(user).pk
    freeze_wallet(wallet_id=wallet_id, acting_user=operator, reason="suspected fraud")
    with pytest.raises(InvalidWalletState):
        freeze_wallet(wallet_id=wallet_id, acting_user=operator, reason="again")
    unfreeze_wallet(wallet_id=wallet_id, acting_user=operator, reason="cleared")
    with pytest.raises(InvalidWalletState):
        unfreeze_wallet(wallet_id=wallet_id, acting_user=operator, reason="again")
    trail = AuditRecord.objects.filter(subject_id=wallet_id).order_by("sequence")
    assert [(r.sequence, r.before, r.after, r.reason) for r in trail] == [
        (1, {"status": "active"}, {"status": "frozen"}, "suspected fraud"),
        (2, {"status": "frozen"}, {"status": "active"}, "cleared"),
    ]
    assert bytes(trail[1].previous_hash or b"") == bytes(trail[0].hash or b"x")


def test_of_many_who_freeze_at_once_one_does() -> None:
    user, operator = make_payee(), make_payee()
    wallet_id = wallet_of(user).pk

    def act(_: int) -> bool:
        try:
            freeze_wallet(wallet_id=wallet_id, acting_user=operator, reason="race")
        except InvalidWalletState:
            return False
        return True

    assert sum(at_once(6, act)) == 1


def test_what_is_not_there_is_not_found() -> None:
    user = make_payee()
    with pytest.raises(NotFound):
        freeze_wallet(wallet_id=uuid.uuid4(), acting_user=user, reason="x")
    with pytest.raises(NotFound):
        rename_wallet(wallet_id=wallet_of(make_payee()).pk, owner_id=user.pk, name="Mine")
