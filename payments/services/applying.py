"""What a provider's word does here: the only way in which anything of an intent, refund or payout
comes true.

Whatever tells it (a webhook, an answer, a look at the provider), however often and in whatever
order, takes the row's lock, asks ``steps`` what it means, and moves the money, the status and the
announcement in one commit.
"""

import enum
import uuid
from functools import partial
from typing import Any

from events.services import announce
from fintech_core.database import exactly_once
from fintech_core.money import Money
from payments.locks import lock_intent, lock_payout, lock_refund
from payments.models import (
    IntentStatus,
    PaymentIntent,
    Payout,
    PayoutStatus,
    Refund,
    RefundStatus,
)
from payments.models.movements import SUBJECT_NAMES, Movement, Owed
from payments.providers.base import (
    PayoutState,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
)
from payments.selectors import describe_announced_intent, describe_payout
from payments.services.accounts import cash_wallet_id
from payments.services.issues import open_issue, settle_issue
from payments.services.schedule import look_again, take_step, waits_for_nothing
from payments.services.steps import INTENT, PAYOUT, REFUND, Machine, Verdict
from transactions import services as ledger
from transactions.declines import Decline
from transactions.instructions import Request


class Applied(enum.Enum):
    """What came of what a provider told."""

    DONE = "done"  # It is so now, or was already; or it is on its way and looked after.
    DOUBT = "doubt"  # An event alone cannot tell: fetch the object and apply that.
    UNKNOWN = "unknown"  # No such object here, yet.
    MISMATCH = "mismatch"  # Not what was agreed on: flagged for an operator, nothing moved.


def apply_payment(provider: str, told: ProviderPayment, *, fetched: bool) -> Applied:
    """Have an intent become what its provider says of it; credited in the same commit where it
    succeeded.

    ``fetched`` where the provider was just asked, not where an event says so. A credit that the
    wallet may not take now is flagged and tried again by the sweep; the intent stays ``processing``
    until then.
    """
    rows = PaymentIntent.objects.filter(provider=provider)
    found = _find(rows, told.intent_id, told.reference)
    if found is None:
        return Applied.UNKNOWN
    source_id = cash_wallet_id(provider, found.currency)
    work = partial(_apply_payment, found.pk, source_id, told, fetched=fetched)
    return exactly_once(work, keys=ledger.KEYS)


def apply_refund(provider: str, told: ProviderRefund, *, fetched: bool) -> Applied:
    """Have a refund become what its provider says of it; what it took is given back where it failed."""
    found = _find(Refund.objects.filter(provider=provider), told.refund_id, told.reference)
    if found is None:
        return Applied.UNKNOWN
    work = partial(_apply_refund, found.pk, found.intent_id, told, fetched=fetched)
    return exactly_once(work, keys=ledger.KEYS)


def apply_payout(provider: str, told: ProviderPayout, *, fetched: bool) -> Applied:
    """Have a payout become what its provider says of it; what it holds leaves, or is given back."""
    found = _find(Payout.objects.filter(provider=provider), told.payout_id, told.reference)
    if found is None:
        return Applied.UNKNOWN
    work = partial(_apply_payout, found.pk, told, fetched=fetched)
    return exactly_once(work, keys=ledger.KEYS)


# Intents ---------------------------------------------------------------------------------------------


def _apply_payment(
    intent_id: uuid.UUID, source_id: uuid.UUID, told: ProviderPayment, *, fetched: bool
) -> Applied:
    intent = lock_intent(intent_id)
    owed = intent.owed
    if not _is_the_same(intent, told.reference, told.amount):
        return Applied.MISMATCH
    if not intent.provider_reference:
        intent.provider_reference = told.reference
        look_again(intent)
    intent.client_secret = intent.client_secret or told.client_secret
    intent.checkout_url = intent.checkout_url or told.checkout_url
    verdict = _judge(INTENT, intent, told.state.value, fetched=fetched)
    if verdict is Verdict.GO:
        becomes = IntentStatus(told.state.value)
        if becomes == IntentStatus.SUCCEEDED:
            _credit(intent, source_id)
        else:
            intent.failure_code = told.failure_code if becomes == IntentStatus.FAILED else ""
            # Who pays again after a failure says so again: no worker confirms that.
            intent.confirmed_at = None if becomes == IntentStatus.FAILED else intent.confirmed_at
            take_step(intent, becomes)
        if becomes == IntentStatus.FAILED:
            _announce_intent(intent, "payment_intent.failed")
    _settle(intent, owed, intent.transaction_id)
    return _finish(verdict, intent, told.state.value)


def _credit(intent: PaymentIntent, source_id: uuid.UUID) -> None:
    """The deposit, the status and the announcement; or, where the wallet may not take it, neither."""
    instruction = ledger.DepositInstruction(
        source_id=source_id,
        target_id=intent.wallet_id,
        amount=intent.money,
        request=Request(
            caller_id=None,
            idempotency_key=f"intent {intent.pk}",
            fingerprint=intent.pk.bytes * 2,
            request_id=intent.request_id,
        ),
    )
    try:
        outcome = ledger.deposit_within(instruction)
    except Decline as decline:
        if intent.status != IntentStatus.PROCESSING:
            take_step(intent, IntentStatus.PROCESSING)
        intent.failure_code = ""
        _owe(intent, Owed.CREDIT, decline)
        return
    intent.transaction_id, intent.failure_code = outcome.transaction.id, ""
    take_step(intent, IntentStatus.SUCCEEDED)
    _announce_intent(intent, "payment_intent.succeeded")


def _announce_intent(intent: PaymentIntent, event_type: str) -> None:
    intent.announced += 1
    announce(
        event_type,
        owner_id=intent.user_id,
        subject_id=intent.pk,
        sequence=intent.announced,
        data=describe_announced_intent(intent),
    )


# Refunds ---------------------------------------------------------------------------------------------


def _apply_refund(
    refund_id: uuid.UUID, intent_id: uuid.UUID, told: ProviderRefund, *, fetched: bool
) -> Applied:
    intent, refund = lock_refund(refund_id, intent_id)
    owed = refund.owed
    if not _is_the_same(refund, told.reference, told.amount):
        return Applied.MISMATCH
    refund.provider_reference = refund.provider_reference or told.reference
    verdict = _judge(REFUND, refund, told.state.value, fetched=fetched)
    if verdict is Verdict.GO:
        if told.state.value == RefundStatus.FAILED:
            _return_refund(intent, refund, told.failure_code)
        else:
            take_step(refund, RefundStatus(told.state.value))
            if owed:
                # It was told to have failed: this may be the older answer, and then it is told again.
                refund.owed = owed
                look_again(refund)
    _settle(refund, owed, refund.return_transaction_id)
    return _finish(verdict, refund, told.state.value)


def _return_refund(intent: PaymentIntent, refund: Refund, failure_code: str) -> None:
    """Give back what the refund took, unless the wallet may not take it now: then it is tried again."""
    try:
        refund.return_transaction_id = ledger.return_within(refund.transaction_id).id
    except Decline as decline:
        _owe(refund, Owed.RETURN, decline)
        return
    refund.failure_code = failure_code
    take_step(refund, RefundStatus.FAILED)
    intent.refunded_amount -= refund.amount
    intent.save(update_fields=["refunded_amount"])


# Payouts ---------------------------------------------------------------------------------------------


def _apply_payout(payout_id: uuid.UUID, told: ProviderPayout, *, fetched: bool) -> Applied:
    payout = lock_payout(payout_id)
    owed = payout.owed
    if not _is_the_same(payout, told.reference, told.amount):
        return Applied.MISMATCH
    payout.provider_reference = payout.provider_reference or told.reference
    says, failure_code = told.state.value, told.failure_code
    if told.state is PayoutState.CANCELED and payout.status != PayoutStatus.CANCELED:
        # Called off at the provider, not here: its owner did not ask for that.
        says, failure_code = PayoutState.FAILED.value, failure_code or "canceled"
    verdict = _judge(PAYOUT, payout, says, fetched=fetched)
    if verdict is Verdict.GO and says == PayoutStatus.PAID:
        ledger.settle_withdrawal_within(payout.transaction_id)
        take_step(payout, PayoutStatus.PAID)
        _announce_payout(payout, "payout.paid")
    elif verdict is Verdict.GO:
        _fail_payout(payout, failure_code)
    _settle(payout, owed, payout.return_transaction_id)
    return _finish(verdict, payout, says)


def _fail_payout(payout: Payout, failure_code: str) -> None:
    """Give the money back: what is held at once; what was paid and came back where the wallet takes
    it."""
    if payout.status == PayoutStatus.PAID:
        try:
            payout.return_transaction_id = ledger.return_within(payout.transaction_id).id
        except Decline as decline:
            _owe(payout, Owed.RETURN, decline)
            return
    else:
        ledger.release_withdrawal_within(payout.transaction_id)
    payout.failure_code = failure_code
    take_step(payout, PayoutStatus.FAILED)
    _announce_payout(payout, "payout.failed")


def _announce_payout(payout: Payout, event_type: str) -> None:
    payout.announced += 1
    announce(
        event_type,
        owner_id=payout.user_id,
        subject_id=payout.pk,
        sequence=payout.announced,
        data=describe_payout(payout),
    )


# All of them -----------------------------------------------------------------------------------------


def _find(rows: Any, own_id: uuid.UUID | None, reference: str) -> Any:
    """By our id where the provider remembers it, else by its own."""
    found = rows.filter(pk=own_id).first() if own_id else None
    if found is None and reference:
        found = rows.filter(provider_reference=reference).first()
    return found


def _is_the_same(subject: Movement, reference: str, amount: Money) -> bool:
    """What is told is of what was agreed on; else it is flagged."""
    if amount != subject.money:
        _flag(
            subject,
            "amount_mismatch",
            reference=reference,
            told_amount=str(amount),
            told_currency=amount.currency,
        )
        return False
    known = subject.provider_reference
    if known and reference and reference != known:
        _flag(subject, "reference_mismatch", reference=reference, known=known)
        return False
    return True


def _judge(machine: Machine, subject: Movement, told: str, *, fetched: bool) -> Verdict:
    """What being told so means for it. While something is owed its status lags behind what was told,
    so no event alone says anything of it."""
    if subject.owed and not fetched:
        return Verdict.DOUBT
    return machine.judge(subject.status, told, fetched=fetched)


def _owe(subject: Movement, owed: Owed, decline: Decline) -> None:
    """The wallet may not take now what its provider's word brings: it is flagged, and tried again
    until the wallet does or the provider says otherwise."""
    _flag(subject, f"{owed}_refused", code=decline.code)
    subject.owed = owed
    look_again(subject)


def _settle(subject: Movement, owed: str, transaction_id: uuid.UUID | None) -> None:
    """Close the issue of what it owed until now, if it owes nothing any more."""
    if not owed or subject.owed:
        return
    how = (
        "The wallet took it" if transaction_id else f"Its provider says that it is {subject.status}"
    )
    settle_issue(
        kind=f"{owed}_refused",
        subject_id=subject.pk,
        resolution=f"{how}: transaction {transaction_id}." if transaction_id else f"{how}.",
    )


def _finish(verdict: Verdict, subject: Movement, told: str) -> Applied:
    if verdict is Verdict.STAY and waits_for_nothing(subject):
        subject.next_attempt_at = None
    subject.save()
    if verdict is Verdict.DOUBT:
        return Applied.DOUBT
    if verdict is Verdict.CONFLICT:
        _flag(subject, "state_mismatch", told_status=told)
        return Applied.MISMATCH
    return Applied.DONE


def _flag(subject: Movement, kind: str, *, reference: str = "", **facts: Any) -> None:
    """Have an operator look at it; in the commit of what was decided."""
    open_issue(
        kind=kind,
        provider=subject.provider,
        subject_type=SUBJECT_NAMES[type(subject)],
        subject_id=subject.pk,
        reference=reference or subject.provider_reference,
        facts={
            "amount": str(subject.money),
            "currency": subject.currency,
            "status": subject.status,
            **facts,
        },
    )
