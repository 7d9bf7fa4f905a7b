"""Transfers through the service: what moves, what is refused, what a retry gets."""

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from fintech_core.exceptions import DomainError, InvalidInput
from transactions import declines, services
from transactions.instructions import Outcome, Recipient, TransferInstruction
from transactions.models import LedgerEntry, Transaction
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer, wallet_of
from users.models import User
from wallet.models import Wallet, WalletKind, WalletStatus
from wallet.services import freeze_wallet, open_platform_wallet

pytestmark = pytest.mark.usefixtures("committed")


def entries_of(user: User) -> int:
    return LedgerEntry.objects.filter(wallet__user=user).count()


def require_declined(instruction: TransferInstruction, decline: type[declines.Decline]) -> Outcome:
    """The transfer is declined for this reason, recorded, and moves nothing."""
    source = Wallet.objects.get(user_id=instruction.caller_id)
    outcome = services.transfer(instruction)
    assert type(outcome.transaction.decline) is decline
    after = Wallet.objects.get(user_id=instruction.caller_id)
    assert (after.balance, after.last_sequence) == (source.balance, source.last_sequence)
    assert Transaction.objects.get(pk=outcome.transaction.id).status == "declined"
    return outcome


@pytest.mark.smoke
def test_a_transfer_moves_the_amount_from_payer_to_payee() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    outcome = services.transfer(instruct(payer, payee, "40.25", description="Rent"))
    assert (balance_of(payer), balance_of(payee)) == ("59.75", "40.25")
    record = outcome.transaction
    assert record.balances_after[wallet_of(payer).pk] == Decimal("59.75")
    row = Transaction.objects.get(pk=record.id)
    assert (row.status, row.amount, row.description) == ("posted", Decimal("40.25"), "Rent")
    legs = row.entries.order_by("leg").values_list("amount", flat=True)
    assert list(legs) == [Decimal("-40.25"), Decimal("40.25")]


def test_everything_may_be_spent_but_not_a_cent_more() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    require_declined(instruct(payer, payee, "10.01"), declines.InsufficientFunds)
    services.transfer(instruct(payer, payee, "10.00"))
    assert balance_of(payer) == "0.00"
    require_declined(instruct(payer, payee, "0.01"), declines.InsufficientFunds)


def test_a_retry_gets_the_first_answer_and_moves_nothing() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    instruction = instruct(payer, payee, "60.00")
    first = services.transfer(instruction)
    again = services.transfer(instruction)
    assert again.is_replay
    assert not first.is_replay
    assert again.transaction == first.transaction
    assert balance_of(payer) == "40.00"


def test_a_retry_after_a_freeze_gets_the_first_answer() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    instruction = instruct(payer, payee, "60.00")
    first = services.transfer(instruction)
    freeze_wallet(wallet_id=wallet_of(payer).pk, acting_user=payee, reason="test")
    assert services.transfer(instruction).transaction == first.transaction


def test_a_retry_after_the_recipient_was_deactivated_gets_the_first_answer() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    instruction = instruct(payer, payee, "60.00")
    first = services.transfer(instruction)
    User.objects.filter(pk=payee.pk).update(is_active=False)
    assert services.transfer(instruction).transaction == first.transaction


def test_a_decline_is_replayed_even_when_there_is_money_by_then() -> None:
    payer, payee, friend = make_payer("1.00"), make_payee(), make_payer("50.00")
    instruction = instruct(payer, payee, "20.00")
    first = require_declined(instruction, declines.InsufficientFunds)
    services.transfer(instruct(friend, payer, "50.00"))
    again = services.transfer(instruction)
    assert again.is_replay
    assert again.transaction == first.transaction
    assert balance_of(payer) == "51.00"


def test_a_key_used_for_another_request_is_refused_and_moves_nothing() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    instruction = instruct(payer, payee, "60.00")
    services.transfer(instruction)
    with pytest.raises(declines.IdempotencyKeyReused):
        services.transfer(
            instruct(payer, payee, "10.00", idempotency_key=instruction.idempotency_key)
        )
    assert balance_of(payer) == "40.00"


def test_two_users_may_use_one_key() -> None:
    first, second, payee = make_payer("10.00"), make_payer("10.00"), make_payee()
    for payer in (first, second):
        services.transfer(instruct(payer, payee, "10.00", idempotency_key="the-same"))
    assert balance_of(payee) == "20.00"


def test_nobody_pays_himself() -> None:
    payer = make_payer("10.00")
    require_declined(instruct(payer, payer, "1.00"), declines.SelfTransfer)


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_a_frozen_wallet_neither_sends_nor_receives(side: str) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    frozen = payer if side == "payer" else payee
    freeze_wallet(wallet_id=wallet_of(frozen).pk, acting_user=payee, reason="test")
    require_declined(instruct(payer, payee, "1.00"), declines.WalletFrozen)


def test_a_closed_wallet_receives_nothing() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    Wallet.objects.filter(user=payee).update(status=WalletStatus.CLOSED)
    require_declined(instruct(payer, payee, "1.00"), declines.WalletClosed)


def test_another_currency_is_a_mismatch() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    require_declined(instruct(payer, payee, "1", currency="JPY"), declines.CurrencyMismatch)


def test_sending_needs_an_approved_identity_and_uses_up_no_key() -> None:
    payer, payee = make_payer("10.00", tier=0), make_payee()
    instruction = instruct(payer, payee, "1.00")
    with pytest.raises(declines.KycRequired):
        services.transfer(instruction)
    assert not Transaction.objects.filter(initiated_by=payer).exists()
    User.objects.filter(pk=payer.pk).update(kyc_status="approved", kyc_tier=1)
    assert not services.transfer(instruction).is_replay


def test_an_approval_that_has_run_out_sends_no_more() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    User.objects.filter(pk=payer.pk).update(kyc_expires_at=ago)
    with pytest.raises(declines.KycRequired):
        services.transfer(instruct(payer, payee, "1.00"))


def test_a_balance_is_not_learnt_by_asking_with_money_that_is_not_there() -> None:
    poor, rich = make_payer("0"), make_payer("9999.00", tier=1)
    for amount in ("1.00", "1.01", "50000.00"):
        require_declined(instruct(poor, rich, amount), declines.InsufficientFunds)


@pytest.mark.parametrize("amount", ["1.001", "0.005", "1e2", "", "-1.00", "NaN", "01.00", "１.00"])
def test_an_amount_its_currency_cannot_have_is_invalid(amount: str) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    with pytest.raises(InvalidInput):
        services.transfer(instruct(payer, payee, amount))
    assert not Transaction.objects.filter(initiated_by=payer).exists()


@pytest.mark.parametrize(
    "recipient",
    [
        Recipient(email="nobody@example.com"),
        Recipient(phone="+16502530000"),
        Recipient(wallet_id=uuid.UUID(int=1)),
    ],
)
def test_an_unknown_recipient_is_not_found(recipient: Recipient) -> None:
    payer = make_payer("10.00")
    with pytest.raises(declines.RecipientNotFound):
        services.transfer(instruct(payer, payer, "1.00", recipient=recipient))


def test_a_phone_number_identifies_only_when_verified() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    phone = f"+1650{uuid.uuid4().int % 10**7:07}"
    User.objects.filter(pk=payee.pk).update(phone=phone)
    instruction = instruct(payer, payee, "1.00", recipient=Recipient(phone=phone))
    with pytest.raises(declines.RecipientNotFound):
        services.transfer(instruction)
    User.objects.filter(pk=payee.pk).update(phone_verified_at=datetime.datetime.now(datetime.UTC))
    services.transfer(instruction)
    assert balance_of(payee) == "1.00"


def test_a_platform_wallet_is_no_recipient() -> None:
    payer = make_payer("10.00")
    platform = open_platform_wallet(purpose="fees:test", kind=WalletKind.FEES, currency="USD")
    with pytest.raises(declines.RecipientNotFound):
        services.transfer(
            instruct(payer, payer, "1.00", recipient=Recipient(wallet_id=platform.pk))
        )


def test_a_wallet_of_somebody_else_is_no_source() -> None:
    payer, other, payee = make_payer("10.00"), make_payer("10.00"), make_payee()
    with pytest.raises(declines.SourceWalletNotFound):
        services.transfer(instruct(payer, payee, "1.00", source_wallet_id=wallet_of(other).pk))


LIMITS = {
    tier: {
        "USD": {
            "per_transfer": "50",
            "per_day": "100",
            "per_month": "150",
            "largest_balance": "120" if tier == 1 else "1000000",
        }
    }
    for tier in (0, 1, 2)
}


@override_settings(LIMITS=LIMITS)
def test_limits_per_transfer_and_day_are_kept_to_the_cent() -> None:
    payer, payee = make_payer("1000.00"), make_payee()
    over = require_declined(instruct(payer, payee, "50.01"), declines.LimitExceeded)
    assert over.transaction.facts == {
        "limit": "per_transfer",
        "limit_amount": "50.00",
        "remaining": "50.00",
        "currency": "USD",
    }
    services.transfer(instruct(payer, payee, "50.00"))
    services.transfer(instruct(payer, payee, "49.99"))
    over = require_declined(instruct(payer, payee, "0.02"), declines.LimitExceeded)
    assert over.transaction.facts == {
        "limit": "per_day",
        "limit_amount": "100.00",
        "remaining": "0.01",
        "currency": "USD",
    }
    services.transfer(instruct(payer, payee, "0.01"))


@override_settings(LIMITS=LIMITS)
def test_a_balance_stays_under_the_largest_of_its_tier() -> None:
    payer, payee = make_payer("1000.00"), make_payee(tier=1)
    services.transfer(instruct(payer, payee, "50.00"))
    services.transfer(instruct(payer, payee, "50.00"))
    require_declined(instruct(make_payer("100.00"), payee, "20.01"), declines.BalanceLimitExceeded)
    services.transfer(instruct(make_payer("100.00"), payee, "20.00"))


def test_refusals_are_answered_in_the_promised_order() -> None:
    """Each step mends one thing; the first refusal that still applies is the one told."""
    payer, payee = make_payer("10.00", tier=0), make_payee()
    big = "60000.00"

    def refusal(**overrides: Any) -> type[DomainError] | None:
        try:
            outcome = services.transfer(instruct(payer, payee, big, **overrides))
        except DomainError as error:
            return type(error)
        decline = outcome.transaction.decline
        return type(decline) if decline else None

    nobody = Recipient(email="nobody@example.com")
    freeze_wallet(wallet_id=wallet_of(payee).pk, acting_user=payee, reason="test")
    assert refusal(recipient=nobody, currency="EUR") is declines.RecipientNotFound
    assert refusal(currency="EUR") is declines.WalletFrozen
    Wallet.objects.filter(user=payee).update(status=WalletStatus.ACTIVE)
    assert refusal(currency="EUR", recipient=Recipient(email=payer.email)) is (
        declines.CurrencyMismatch
    )
    assert refusal(recipient=Recipient(email=payer.email)) is declines.SelfTransfer
    assert refusal() is declines.KycRequired
    User.objects.filter(pk=payer.pk).update(kyc_status="approved", kyc_tier=2)
    assert refusal() is declines.LimitExceeded
    big = "50000.00"
    assert refusal() is declines.InsufficientFunds


def test_a_batch_is_posted_in_order_and_each_has_its_own_outcome() -> None:
    payer, middle, payee = make_payer("10.00"), make_payee(), make_payee()
    key = uuid.uuid4().hex
    batch = [
        instruct(payer, middle, "10.00"),
        instruct(middle, payee, "8.00", idempotency_key=key),
        instruct(payer, payee, "0.01"),
        instruct(middle, payee, "8.00", idempotency_key=key),
        instruct(middle, payee, "1.00", idempotency_key=key),
        instruct(middle, payee, "1.00", recipient=Recipient(email="nobody@example.com")),
        instruct(middle, payee, "2.00"),
    ]
    results = services.transfer_many(batch)
    told = [
        type(r).__name__
        if isinstance(r, DomainError)
        else (r.transaction.decline_code or "posted") + (" again" if r.is_replay else "")
        for r in results
    ]
    assert told == [
        "posted",
        "posted",
        "insufficient_funds",
        "posted again",
        "IdempotencyKeyReused",
        "RecipientNotFound",
        "posted",
    ]
    assert [balance_of(user) for user in (payer, middle, payee)] == ["0.00", "0.00", "10.00"]


def test_a_batch_takes_as_many_statements_as_one_transfer(statements: list[str]) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    counts = []
    for size in (1, 50, 200):
        batch = [instruct(payer, payee, "0.10") for _ in range(size)]
        statements.clear()
        services.transfer_many(batch)
        counts.append(len(statements))
    assert counts == [4, 4, 4], "begin and open, post and commit"
    assert entries_of(payee) == 251


def test_wallets_are_locked_in_order_and_before_anything_is_written(statements: list[str]) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    statements.clear()
    services.transfer(instruct(payer, payee, "0.10"))
    [opened] = [i for i, text in enumerate(statements) if "open_accounts" in text]
    [post] = [i for i, text in enumerate(statements) if "post_ledger" in text]
    assert opened < post
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc, provolatile FROM pg_proc WHERE proname = 'open_accounts'")
        source, volatility = cursor.fetchone()
    assert source.count("ORDER BY w.id FOR NO KEY UPDATE") == source.count("FOR NO KEY UPDATE") == 1
    assert volatility == "v", "each statement in it sees what was committed until then"
