"""Holds through the service: what they reserve, what captures and voids do, what is refused."""

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from events.models import AuditRecord
from fintech_core.exceptions import DomainError, InvalidInput, NotFound
from transactions import declines, services
from transactions.instructions import HoldOutcome
from transactions.models import Transaction
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import (
    ask,
    hold_status,
    make_hold,
    make_overdue_hold,
    standing,
)
from users.models import User
from wallet.models import Hold, Wallet, WalletKind
from wallet.services import freeze_wallet

pytestmark = pytest.mark.usefixtures("committed")

FEES = {"transfer": {"*": {"*": {"percent": "1", "minimum": "0.10"}}}}


def require_declined(outcome: HoldOutcome, decline: type[declines.Decline], **facts: Any) -> None:
    assert type(outcome.act.decline) is decline, outcome.act.decline_code
    assert outcome.act.facts == (facts or None)


@pytest.mark.smoke
def test_a_hold_takes_from_what_is_available_and_not_from_the_balance() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    make_hold(payer, payee, "60.00")
    wallet = wallet_of(payer)
    assert [wallet.balance, wallet.held, wallet.available] == [100, 60, 40]
    for hold_for in (None, datetime.timedelta(hours=1)):
        refused = services.transfer(instruct(payer, payee, "40.01", hold_for=hold_for))
        assert refused.transaction.decline_code == "insufficient_funds"
    assert balance_of(payee) == "0.00"


def test_a_capture_posts_all_that_is_held() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    hold_id = make_hold(payer, payee, "60.00", description="Room 12")
    outcome = services.capture_hold(hold_id=hold_id, request=ask(payee))
    assert (balance_of(payer), balance_of(payee), wallet_of(payer).held) == ("40.00", "60.00", 0)
    assert outcome.hold.facts is not None
    assert outcome.hold.facts["status"] == "posted"
    act = Transaction.objects.get(pk=outcome.act.id)
    assert (act.parent_id, act.status, act.description) == (hold_id, "posted", "Room 12")


def test_parts_are_captured_until_the_last_gives_the_rest_back() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    hold_id = make_hold(payer, payee, "100.00")
    for amount in ("30.00", "30.00"):
        services.capture_hold(hold_id=hold_id, request=ask(payee), amount=amount, final=False)
    before = standing(payer, payee)
    refused = services.capture_hold(hold_id=hold_id, request=ask(payee), amount="50.00")
    require_declined(refused, declines.CaptureExceedsHold, remaining="40.00", currency="USD")
    assert standing(payer, payee) == before
    services.capture_hold(hold_id=hold_id, request=ask(payee), amount="10.00")
    assert (balance_of(payer), balance_of(payee), wallet_of(payer).held) == ("30.00", "70.00", 0)
    assert hold_status(hold_id) == "captured"


def test_captures_that_are_not_final_end_the_hold_when_nothing_is_left() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = make_hold(payer, payee, "10.00")
    for amount in ("4.00", "6.00"):
        services.capture_hold(hold_id=hold_id, request=ask(payee), amount=amount, final=False)
    assert hold_status(hold_id) == "captured"


def test_the_fee_is_held_and_taken_in_proportion_and_never_more_than_agreed() -> None:
    payer, payee = make_payer("110.00"), make_payee()

    def earned() -> Decimal:
        fees = Wallet.objects.filter(kind=WalletKind.FEES, currency="USD")
        return sum((wallet.balance for wallet in fees), Decimal(0))

    before = earned()
    with override_settings(FEES=FEES):
        hold_id = make_hold(payer, payee, "100.00")
    assert wallet_of(payer).held == Decimal("101.00")
    taken = []
    for amount in ("33.33", "33.33", "33.34"):
        outcome = services.capture_hold(
            hold_id=hold_id, request=ask(payee), amount=amount, final=False
        )
        taken.append(str(outcome.act.fee))
    assert taken == ["0.33", "0.33", "0.34"]
    assert (balance_of(payer), balance_of(payee)) == ("9.00", "100.00")
    assert earned() - before == 1


def test_the_fee_of_what_is_not_captured_is_given_back() -> None:
    payer, payee = make_payer("110.00"), make_payee()
    with override_settings(FEES=FEES):
        hold_id = make_hold(payer, payee, "100.00")
        outcome = services.capture_hold(hold_id=hold_id, request=ask(payee), amount="10.50")
    assert outcome.act.fee == Decimal("0.10")
    assert (balance_of(payer), wallet_of(payer).held) == ("99.40", 0)
    assert outcome.hold.facts is not None
    assert outcome.hold.facts["fee"] == "0.10"


@pytest.mark.parametrize("act", [services.capture_hold, services.void_hold])
@pytest.mark.parametrize("ended_by", [services.capture_hold, services.void_hold])
def test_what_has_ended_is_neither_captured_nor_voided(
    act: Callable[..., HoldOutcome], ended_by: Callable[..., HoldOutcome]
) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = make_hold(payer, payee, "6.00")
    ended_by(hold_id=hold_id, request=ask(payee))
    before = standing(payer, payee)
    shown = "posted" if ended_by is services.capture_hold else "voided"
    outcome = act(hold_id=hold_id, request=ask(payee))
    require_declined(outcome, declines.HoldNotPending, hold_status=shown)
    assert standing(payer, payee) == before


def test_what_was_never_a_hold_is_not_captured() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    transfer = services.transfer(instruct(payer, payee, "6.00")).transaction
    outcome = services.capture_hold(hold_id=transfer.id, request=ask(payee))
    require_declined(outcome, declines.HoldNotPending, hold_status="posted")
    refused = services.transfer(
        instruct(payer, payee, "6.00", hold_for=datetime.timedelta(hours=1))
    ).transaction
    assert refused.decline_code == "insufficient_funds"
    with pytest.raises(NotFound):
        services.capture_hold(hold_id=refused.id, request=ask(payee))
    outcome = services.capture_hold(hold_id=refused.id, request=ask(make_payee()), is_operator=True)
    require_declined(outcome, declines.HoldNotPending, hold_status="declined")


def test_who_may_capture_and_void() -> None:
    payer, payee, stranger = make_payer("10.00"), make_payee(), make_payee()
    hold_id = make_hold(payer, payee, "6.00")
    cases: list[tuple[Callable[..., HoldOutcome], User, bool, type[DomainError]]] = [
        (services.capture_hold, payer, False, declines.NotTheRecipient),
        (services.capture_hold, payer, True, declines.NotTheRecipient),
        (services.capture_hold, stranger, False, NotFound),
        (services.void_hold, payer, False, declines.HoldNotExpired),
        (services.void_hold, payer, True, declines.HoldNotExpired),
        (services.void_hold, stranger, False, NotFound),
    ]
    before = standing(payer, payee)
    for act, caller, is_operator, refusal in cases:
        with pytest.raises(refusal):
            act(hold_id=hold_id, request=ask(caller), is_operator=is_operator)
    with pytest.raises(NotFound):
        services.capture_hold(hold_id=uuid.uuid4(), request=ask(payee))
    assert standing(payer, payee) == before
    services.void_hold(hold_id=hold_id, request=ask(stranger), is_operator=True, reason="a dispute")
    [trail] = AuditRecord.objects.filter(subject_id=hold_id)
    assert (trail.action, trail.actor_id, trail.reason) == (
        "hold.voided",
        stranger.pk,
        "a dispute",
    )


def test_an_amount_its_currency_cannot_have_is_invalid() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = make_hold(payer, payee, "6.00")
    with pytest.raises(InvalidInput):
        services.capture_hold(hold_id=hold_id, request=ask(payee), amount="1.001")


@pytest.mark.parametrize("final", [True, False])
def test_a_retry_of_a_capture_is_told_the_same_whatever_happened_since(final: bool) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id, request = make_hold(payer, payee, "6.00"), ask(payee)

    def capture() -> HoldOutcome:
        return services.capture_hold(hold_id=hold_id, request=request, amount="4.00", final=final)

    first = capture()
    if not final:
        services.void_hold(hold_id=hold_id, request=ask(payee))
    services.reverse_transaction(transaction_id=hold_id, request=ask(payee))
    freeze_wallet(wallet_id=wallet_of(payee).pk, acting_user=payer, reason="test")
    again = capture()
    assert again.is_replay
    assert (again.hold, again.act) == (first.hold, first.act)
    with pytest.raises(declines.IdempotencyKeyReused):
        services.capture_hold(
            hold_id=hold_id, request=ask(payee, request.idempotency_key, of="another")
        )


def test_a_declined_capture_is_replayed() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id, request = make_hold(payer, payee, "6.00"), ask(payee)
    freeze_wallet(wallet_id=wallet_of(payee).pk, acting_user=payer, reason="test")
    first = services.capture_hold(hold_id=hold_id, request=request)
    require_declined(first, declines.WalletFrozen)
    row = Transaction.objects.get(pk=first.act.id)
    assert (row.parent_id, row.kind, row.amount) == (hold_id, "transfer", 6)
    Wallet.objects.filter(user=payee).update(status="active")
    again = services.capture_hold(hold_id=hold_id, request=request)
    assert again.is_replay
    assert again.act == first.act


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_a_frozen_wallet_stops_a_capture_but_no_void(side: str) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = make_hold(payer, payee, "6.00")
    frozen = payer if side == "payer" else payee
    freeze_wallet(wallet_id=wallet_of(frozen).pk, acting_user=payee, reason="test")
    outcome = services.capture_hold(hold_id=hold_id, request=ask(payee))
    require_declined(outcome, declines.WalletFrozen)
    services.void_hold(hold_id=hold_id, request=ask(payee))
    assert wallet_of(payer).available == 10


def test_the_recipients_largest_balance_is_judged_at_the_capture() -> None:
    payer, payee = make_payer("2000.00"), make_payee(tier=0)
    hold_id = make_hold(payer, payee, "900.00")
    services.transfer(instruct(payer, payee, "200.00"))
    outcome = services.capture_hold(hold_id=hold_id, request=ask(payee))
    require_declined(outcome, declines.BalanceLimitExceeded)
    services.capture_hold(hold_id=hold_id, request=ask(payee), amount="800.00")
    assert balance_of(payee) == "1000.00"


def test_the_order_of_declines() -> None:
    payer, payee = make_payer("2000.00"), make_payee(tier=0)
    hold_id = make_hold(payer, payee, "900.00")

    def refusal() -> str:
        outcome = services.capture_hold(hold_id=hold_id, request=ask(payee), amount="900.01")
        return outcome.act.decline_code

    services.void_hold(hold_id=hold_id, request=ask(payee))
    freeze_wallet(wallet_id=wallet_of(payee).pk, acting_user=payer, reason="test")
    assert refusal() == "wallet_frozen"
    Wallet.objects.filter(user=payee).update(status="active")
    assert refusal() == "hold_not_pending"
    hold_id = make_hold(payer, payee, "900.00")
    assert refusal() == "capture_exceeds_hold"


def test_an_overdue_hold_is_not_captured_and_its_money_is_free() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = make_overdue_hold(payer, payee, "6.00")
    outcome = services.capture_hold(hold_id=hold_id, request=ask(payee))
    require_declined(outcome, declines.HoldNotPending, hold_status="expired")
    assert hold_status(hold_id) == "expired"
    assert wallet_of(payer).available == 10


@pytest.mark.parametrize("is_swept", [False, True])
def test_the_payer_voids_what_has_expired(is_swept: bool) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id, request = make_overdue_hold(payer, payee, "6.00"), ask(payer)
    if is_swept:
        services.expire_holds()
    first = services.void_hold(hold_id=hold_id, request=request)
    assert first.act.decline is None
    assert first.hold.facts is not None
    assert first.hold.facts["status"] == ("expired" if is_swept else "voided")
    assert wallet_of(payer).available == 10
    again = services.void_hold(hold_id=hold_id, request=request)
    assert (again.hold, again.is_replay) == (first.hold, True)


def test_what_is_given_back_counts_for_no_limit() -> None:
    payer, payee = make_payer("1000.00", tier=1), make_payee()
    for _ in range(3):
        hold_id = make_hold(payer, payee, "900.00")
        services.void_hold(hold_id=hold_id, request=ask(payee))
    assert wallet_of(payer).spent_in_day == 0


def test_holds_for_another_purpose_are_not_a_callers() -> None:
    payer = make_payer("10.00")
    deposit = Transaction.objects.get(to_wallet__user=payer)
    with pytest.raises(declines.InvalidTransactionState):
        services.capture_hold(hold_id=deposit.pk, request=ask(payer))


def test_the_platform_itself_may_capture() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = make_hold(payer, payee, "6.00")
    services.capture_hold(hold_id=hold_id, request=ask(None))
    assert balance_of(payee) == "6.00"
    assert Hold.objects.get(pk=hold_id).captured_amount == 6
