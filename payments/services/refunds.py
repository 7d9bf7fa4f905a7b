"""Refunds: money of a succeeded intent that goes back to who paid it. It leaves the wallet at once,
is then sent by the provider, and comes back where that failed."""

import logging
import uuid
from dataclasses import dataclass
from functools import partial

from django.utils import timezone

from events.services import record_audit
from fintech_core.database import exactly_once
from fintech_core.exceptions import InvalidInput, NotFound
from fintech_core.money import InvalidMoney, Money
from payments.locks import lock_intent
from payments.models import IntentStatus, PaymentIntent, Refund
from payments.providers.base import ProviderRefund, ProviderRefused, RefundState
from payments.providers.registry import get_provider
from payments.services.applying import Applied, apply_refund
from payments.services.errors import InvalidPaymentState
from payments.services.schedule import begin_look, end_looks
from transactions import services as ledger
from transactions.instructions import Outcome, Request

logger = logging.getLogger(__name__)

REFUND_PERMISSION = "payments.refund_payment"


@dataclass(frozen=True, slots=True)
class CreatedRefund:
    """The refund that was made; or, in ``outcome``, the recorded refusal of one."""

    refund: Refund | None
    outcome: Outcome


def create_refund(
    *,
    intent_id: uuid.UUID,
    request: Request,
    amount: str | None = None,
    is_operator: bool = False,
) -> CreatedRefund:
    """Send a payment back, all that is left of it or a part, once per idempotency key.

    By its owner, or an operator, which goes on record. The money leaves the wallet in this commit;
    a refusal (frozen wallet, more than is left of it, insufficient funds) is recorded. Raises
    ``NotFound``, ``InvalidInput``, ``InvalidPaymentState`` for what did not succeed,
    ``IdempotencyKeyReused``.
    """
    intent = PaymentIntent.objects.filter(pk=intent_id).first()
    if intent is None or not (is_operator or intent.user_id == request.caller_id):
        raise NotFound
    try:
        money = None if amount is None else Money.parse(amount, intent.currency)
    except InvalidMoney as error:
        raise InvalidInput({"amount": [str(error)]}) from None
    return exactly_once(partial(_create, intent_id, money, request), keys=ledger.KEYS)


def check_refund(refund_id: uuid.UUID, attempts: int | None = None) -> None:
    """Send a refund to its provider, or ask what has become of it; for the relay and its sweep.

    Harmless when run twice or at once: the refund's id is the key at the provider.
    """
    refund = begin_look(Refund, refund_id, attempts)
    if not isinstance(refund, Refund):
        return
    provider = get_provider(refund.provider)
    if refund.provider_reference:
        told = provider.fetch_refund(refund.provider_reference)
    else:
        payment = refund.intent.provider_reference
        try:
            told = provider.refund(refund_id=refund.pk, payment=payment, amount=refund.money)
        except ProviderRefused as refusal:
            told = ProviderRefund(
                reference="",
                refund_id=refund.pk,
                payment=payment,
                state=RefundState.FAILED,
                amount=refund.money,
                failure_code=refusal.code,
            )
    if apply_refund(refund.provider, told, fetched=True) is Applied.MISMATCH:
        end_looks(refund)


def _create(intent_id: uuid.UUID, money: Money | None, request: Request) -> CreatedRefund:
    # Lock: the intent, then the wallets.
    intent = lock_intent(intent_id)
    if intent.status != IntentStatus.SUCCEEDED or intent.transaction_id is None:
        raise InvalidPaymentState(f"The payment is {intent.status}.", payment_status=intent.status)
    # Replay, rules and ledger.
    outcome = ledger.refund_within(
        deposit_id=intent.transaction_id, request=request, amount=money, description="Refund"
    )
    record = outcome.transaction
    if record.decline is not None:
        return CreatedRefund(None, outcome)
    if outcome.is_replay:
        return CreatedRefund(Refund.objects.get(transaction_id=record.id), outcome)
    intent.refunded_amount += record.amount
    intent.save(update_fields=["refunded_amount"])
    refund = Refund.objects.create(
        intent=intent,
        amount=record.amount,
        currency=record.currency,
        provider=intent.provider,
        transaction_id=record.id,
        next_attempt_at=timezone.now(),
    )
    if request.caller_id != intent.user_id:
        record_audit(
            action="payment.refunded",
            subject_type="payment_intent",
            subject_id=intent.pk,
            actor_id=request.caller_id,
            after={"refund": str(refund.pk), "amount": str(refund.money)},
        )
    return CreatedRefund(refund, outcome)
