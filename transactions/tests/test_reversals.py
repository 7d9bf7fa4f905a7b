"""Reversals through the service: in parts, never over the whole, out of the recipient's own funds."""

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from events.models import AuditRecord
from fintech_core.exceptions import DomainError, InvalidInput, NotFound
from transactions import declines, services
from transactions.instructions import Outcome
from transactions.models import Transaction
from transactions.tests.factories import (
    balance_of,
    instruct,
    make_payee,
    make_payer,
    posted,
    wallet_of,
)
from transactions.tests.hold_factories import ask, make_hold, standing
from users.models import User
from wallet.models import Wallet
from wallet.services import freeze_wallet

pytestmark = pytest.mark.usefixtures("committed")


def paid(amount: str = "10.00", balance: str = "100.00") -> tuple[User, User, uuid.UUID]:
    payer, payee = make_payer(balance), make_payee()
    return payer, payee, services.transfer(instruct(payer, payee, amount)).transaction.id


def reverse(
    transaction_id: uuid.UUID, caller: User, amount: str | None = None, **more: Any
) -> Outcome:
    return services.reverse_transaction(
        transaction_id=transaction_id, request=ask(caller), amount=amount, **more
    )


@pytest.mark.smoke
def test_a_refund_gives_all_of_it_back() -> None:
    payer, payee, transfer_id = paid()
    record = reverse(transfer_id, payee, reason="broken on arrival").transaction
    assert (balance_of(payer), balance_of(payee)) == ("100.00", "0.00")
    row = Transaction.objects.get(pk=record.id)
    assert (row.kind, row.status, row.parent_id) == ("reversal", "posted", transfer_id)
    assert (row.description, row.from_wallet_id) == ("broken on arrival", wallet_of(payee).pk)


def test_parts_never_add_up_to_more_than_the_whole() -> None:
    payer, payee, transfer_id = paid("10.00")
    services.transfer(instruct(make_payer("50.00"), payee, "50.00"))
    reverse(transfer_id, payee, "3.33")
    reverse(transfer_id, payee, "3.33")
    before = standing(payer, payee)
    refused = reverse(transfer_id, payee, "3.35").transaction
    assert refused.decline_code == "reversal_exceeds_original"
    assert refused.facts == {"remaining": "3.34", "currency": "USD"}
    assert standing(payer, payee) == before
    assert reverse(transfer_id, payee).transaction.amount == Decimal("3.34")
    refused = reverse(transfer_id, payee).transaction
    assert refused.facts == {"remaining": "0.00", "currency": "USD"}
    assert (balance_of(payer), balance_of(payee)) == ("100.00", "50.00")


def test_who_may_reverse() -> None:
    payer, payee, transfer_id = paid()
    stranger = make_payee()
    cases: list[tuple[User, bool, type[DomainError]]] = [
        (payer, False, declines.NotTheRecipient),
        (payer, True, declines.NotTheRecipient),
        (stranger, False, NotFound),
    ]
    for caller, is_operator, refusal in cases:
        with pytest.raises(refusal):
            reverse(transfer_id, caller, is_operator=is_operator)
    assert balance_of(payee) == "10.00"
    reverse(transfer_id, stranger, is_operator=True, reason="fraud")
    [trail] = AuditRecord.objects.filter(subject_id=transfer_id)
    assert (trail.action, trail.actor_id, trail.reason) == (
        "transaction.reversed",
        stranger.pk,
        "fraud",
    )


def test_what_was_spent_is_not_given_back_by_an_overdraft() -> None:
    payer, payee, transfer_id = paid()
    services.transfer(instruct(payee, payer, "4.00"))
    Wallet.objects.filter(user=payee).update(overdraft_limit="50.00")
    before = standing(payer, payee)
    assert reverse(transfer_id, payee).transaction.decline_code == "insufficient_funds"
    assert standing(payer, payee) == before
    assert reverse(transfer_id, payee, "6.00").transaction.status == "posted"


def test_what_is_held_is_not_given_back() -> None:
    _, payee, transfer_id = paid()
    make_hold(payee, make_payee(), "4.00")
    assert reverse(transfer_id, payee).transaction.decline_code == "insufficient_funds"


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_frozen_wallets_refuse_first_of_all(side: str) -> None:
    payer, payee, transfer_id = paid()
    frozen = payer if side == "payer" else payee
    freeze_wallet(wallet_id=wallet_of(frozen).pk, acting_user=payee, reason="test")
    assert reverse(transfer_id, payee, "99.00").transaction.decline_code == "wallet_frozen"


def test_the_fee_stays_where_it_is() -> None:
    payer, payee = make_payer("20.00"), make_payee()
    with override_settings(FEES={"transfer": {"*": {"*": {"flat": "1.00"}}}}):
        transfer_id = services.transfer(instruct(payer, payee, "10.00")).transaction.id
        reverse(transfer_id, payee)
    assert (balance_of(payer), balance_of(payee)) == ("19.00", "0.00")


def test_of_a_hold_what_was_captured_is_given_back_and_a_capture_means_its_hold() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    hold_id = make_hold(payer, payee, "60.00")
    refused = reverse(hold_id, payee).transaction
    assert refused.facts == {"remaining": "0.00", "currency": "USD"}
    captures = [
        services.capture_hold(hold_id=hold_id, request=ask(payee), amount=amount, final=False).act
        for amount in ("20.00", "10.00")
    ]
    assert reverse(captures[0].id, payee, "25.00").transaction.parent_id == hold_id
    refused = reverse(captures[1].id, payee, "10.00").transaction
    assert refused.facts == {"remaining": "5.00", "currency": "USD"}
    outcome = services.capture_hold(hold_id=hold_id, request=ask(payee))
    assert outcome.hold.facts is not None
    assert outcome.hold.facts["reversed_amount"] == "25.00"
    assert reverse(hold_id, payee).transaction.amount == 35
    assert (balance_of(payer), balance_of(payee)) == ("100.00", "0.00")


def test_only_transfers_that_moved_money_are_reversed() -> None:
    payer, payee, transfer_id = paid()
    reversal = reverse(transfer_id, payee).transaction
    deposit = Transaction.objects.get(to_wallet__user=payer, kind="deposit")
    declined = services.transfer(instruct(payee, payer, "5.00")).transaction
    operator = make_payee()
    for unfit in (reversal.id, deposit.pk, declined.id):
        with pytest.raises(declines.InvalidTransactionState):
            reverse(unfit, operator, is_operator=True)
    with pytest.raises(NotFound):
        reverse(declined.id, payer)


def test_a_retry_is_told_the_same_and_another_request_is_refused() -> None:
    payer, payee, transfer_id = paid()
    request = ask(payee)

    def send(**more: Any) -> Outcome:
        return services.reverse_transaction(
            transaction_id=transfer_id, **{"request": request, "amount": "4.00", **more}
        )

    first = send()
    freeze_wallet(wallet_id=wallet_of(payee).pk, acting_user=payer, reason="test")
    again = send()
    assert (again.transaction, again.is_replay) == (first.transaction, True)
    with pytest.raises(declines.IdempotencyKeyReused):
        send(request=ask(payee, request.idempotency_key, of="another"))
    assert balance_of(payer) == "94.00"


def test_an_amount_its_currency_cannot_have_is_invalid() -> None:
    row = posted()
    with pytest.raises(InvalidInput):
        reverse(row.pk, User.objects.get(wallet=row.to_wallet), "1.001")


def test_the_payers_largest_balance_is_kept() -> None:
    payer, payee, transfer_id = paid("900.00", "900.00")
    User.objects.filter(pk=payer.pk).update(kyc_tier=0)
    services.transfer(instruct(make_payer("200.00"), payer, "200.00"))
    assert reverse(transfer_id, payee).transaction.decline_code == "balance_limit_exceeded"
