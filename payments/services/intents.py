"""Money in: an intent is made, confirmed, called off, looked after; what comes of it ``applying``
decides.

The provider is never asked inside a transaction: what is to be asked is committed first, and what
it said is applied under the row's lock after that.
"""

import datetime
import logging
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

from django.db import transaction
from django.utils import timezone

from fintech_core.database import exactly_once
from fintech_core.exceptions import InvalidInput, NotFound
from fintech_core.money import InvalidMoney, Money
from payments.locks import lock_intent, lock_key
from payments.models import IntentStatus, PaymentIntent
from payments.providers.base import (
    PaymentState,
    ProviderPayment,
    ProviderRefused,
    ProviderUnavailable,
)
from payments.providers.registry import default_provider, enabled_providers, get_provider
from payments.selectors import get_intent_of
from payments.services.accounts import cash_wallet_id, wallet_for
from payments.services.applying import Applied, apply_payment
from payments.services.errors import ConfirmationRefused, InvalidPaymentState
from payments.services.keys import wallet_of_key
from payments.services.schedule import begin_look, end_looks, take_step
from transactions import services as ledger
from transactions.declines import IdempotencyKeyReused
from transactions.instructions import Outcome, Request
from transactions.models import TransactionKind
from users.models import User

logger = logging.getLogger(__name__)

# The constraints that give a key to one intent of its user, or to the refusal of one.
_KEYS = ("intent_key_is_unique_per_user", ledger.KEYS)

SIMULATOR = "simulator"
# How long an answer to a confirmation may take before the sweep asks.
_CONFIRMATION_PATIENCE = datetime.timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class CreatedIntent:
    """An intent, and whether an earlier request made it; or the recorded refusal of one."""

    intent: PaymentIntent | None
    refusal: Outcome | None = None
    is_replay: bool = False


def create_intent(
    *,
    user: User,
    amount: str,
    request: Request,
    currency: str | None = None,
    provider: str | None = None,
) -> CreatedIntent:
    """Announce money that is to come in, here and at its provider, once per idempotency key.

    What could not be credited now is declined and recorded: by the wallet's state or its owner's
    largest balance. Raises ``UnknownProvider``, ``InvalidInput``, ``CurrencyMismatch`` without a
    wallet of that currency, ``IdempotencyKeyReused``; and ``ProviderUnavailable`` with the intent
    kept, so that a retry with the same key goes on from there.
    """
    name = provider or default_provider()
    get_provider(name)
    made = _intent_of_key(user, request)
    if made is None:
        wallet = wallet_of_key(request, TransactionKind.DEPOSIT) or wallet_for(user, currency)
        try:
            money = Money.parse(amount, wallet.currency)
        except InvalidMoney as error:
            raise InvalidInput({"amount": [str(error)]}) from None
        draft = PaymentIntent(
            user=user,
            wallet=wallet,
            amount=money.amount,
            currency=money.currency,
            provider=name,
            idempotency_key=request.idempotency_key,
            fingerprint=request.fingerprint,
            request_id=request.request_id,
            client_address=request.client_address,
        )
        source_id = cash_wallet_id(name, money.currency)
        result = exactly_once(partial(_insert, draft, request, source_id), keys=_KEYS)
        if isinstance(result, Outcome):
            return CreatedIntent(None, refusal=result, is_replay=result.is_replay)
        made = result
    if _is_introduced(made):
        return CreatedIntent(made, is_replay=True)
    return CreatedIntent(_introduce(made))


def confirm_intent(*, user: User, intent_id: uuid.UUID) -> PaymentIntent:
    """Let the payment happen. Where the provider does not answer it is ``processing`` until it does.

    Raises ``NotFound``; ``InvalidPaymentState`` unless it waits for its confirmation, and
    ``ConfirmationRefused`` where its provider will not have it so: then it waits still.
    """
    intent = _introduce(get_intent_of(user, intent_id))
    with transaction.atomic(durable=True):
        intent = lock_intent(intent.pk)
        _require(intent, IntentStatus.REQUIRES_CONFIRMATION)
        # On record before it is sent: the sweep sends it again if we end here.
        intent.confirmed_at, intent.attempts = timezone.now(), 0
        intent.next_attempt_at = timezone.now() + _CONFIRMATION_PATIENCE
        intent.save()
    try:
        refusal = _confirm(intent)
    except ProviderUnavailable:
        logger.warning("confirmation_unanswered", extra={"intent": str(intent.pk)})
        _set_confirmed(intent.pk, is_confirmed=True)
        refusal = None
    if refusal is not None:
        _set_confirmed(intent.pk, is_confirmed=False)
        raise ConfirmationRefused(provider_code=refusal.code)
    return get_intent_of(user, intent_id)


def cancel_intent(*, user: User, intent_id: uuid.UUID) -> PaymentIntent:
    """Keep the payment from happening, where its provider still can.

    Raises ``NotFound``, ``ProviderUnavailable``, and ``InvalidPaymentState`` where it has happened,
    or was called off before.
    """
    intent = get_intent_of(user, intent_id)
    _require(intent, IntentStatus.REQUIRES_CONFIRMATION, IntentStatus.PROCESSING)
    # An answer that was lost may have left a payment there: it is asked for again, and called off.
    intent = _introduce(intent)
    provider = get_provider(intent.provider)
    if intent.provider_reference:
        try:
            told = provider.cancel_payment(intent.provider_reference)
        except ProviderRefused:
            told = provider.fetch_payment(intent.provider_reference)
        apply_payment(intent.provider, told, fetched=True)
    intent = get_intent_of(user, intent_id)
    _require(intent, IntentStatus.CANCELED)
    return intent


def refresh_intent(*, user: User, intent_id: uuid.UUID) -> PaymentIntent:
    """Ask the provider what has become of it, now. Raises ``NotFound``, ``ProviderUnavailable``."""
    intent = get_intent_of(user, intent_id)
    if intent.provider_reference:
        told = get_provider(intent.provider).fetch_payment(intent.provider_reference)
        apply_payment(intent.provider, told, fetched=True)
    return get_intent_of(user, intent_id)


def simulate_intent(*, user: User, intent_id: uuid.UUID, outcome: str) -> PaymentIntent:
    """Have the simulator say what became of it, in a signed webhook as a real provider would.

    Raises ``NotFound`` for anybody else's, and where no simulator is switched on or the intent is
    another provider's; ``InvalidPaymentState`` after the last word.
    """
    intent = get_intent_of(user, intent_id)
    if intent.provider != SIMULATOR or SIMULATOR not in enabled_providers():
        raise NotFound
    intent = _introduce(intent)
    _require(intent, IntentStatus.REQUIRES_CONFIRMATION, IntentStatus.PROCESSING)
    simulator = cast("_Simulating", get_provider(SIMULATOR))
    try:
        simulator.simulate(intent.provider_reference, outcome)
    except ProviderRefused:
        raise InvalidPaymentState(payment_status=intent.status) from None
    return get_intent_of(user, intent_id)


def check_intent(intent_id: uuid.UUID, attempts: int | None = None) -> None:
    """Ask the provider about an intent that waits for its word, and apply it; for the sweep.

    A confirmation that did not reach the provider is sent again. Harmless when run twice or at once.
    """
    found = begin_look(PaymentIntent, intent_id, attempts)
    if not isinstance(found, PaymentIntent):
        return
    intent = _introduce(found)
    if not intent.provider_reference:
        return
    told = get_provider(intent.provider).fetch_payment(intent.provider_reference)
    if told.state is PaymentState.REQUIRES_CONFIRMATION and intent.confirmed_at is not None:
        refusal = _confirm(intent)
        if refusal is not None and intent.status == IntentStatus.PROCESSING:
            apply_payment(intent.provider, _failed(intent, refusal), fetched=True)
        elif refusal is not None:
            _set_confirmed(intent.pk, is_confirmed=False)
    elif apply_payment(intent.provider, told, fetched=True) is Applied.MISMATCH:
        end_looks(intent)


class _Simulating(Protocol):
    def simulate(self, reference: str, outcome: str) -> object: ...


def _intent_of_key(user: User, request: Request) -> PaymentIntent | None:
    """What this request made before. Raises ``IdempotencyKeyReused`` where another one did."""
    made = PaymentIntent.objects.filter(
        user_id=user.pk, idempotency_key=request.idempotency_key
    ).first()
    if made is not None and bytes(made.fingerprint) != request.fingerprint:
        raise IdempotencyKeyReused
    return made


def _insert(
    draft: PaymentIntent, request: Request, source_id: uuid.UUID
) -> PaymentIntent | Outcome:
    # Lock: a twin queues here.
    lock_key(draft.user_id, request.idempotency_key)
    # Replay.
    if made := _intent_of_key(draft.user, request):
        return made
    # Rules.
    if refusal := ledger.refuse_deposit_within(
        ledger.DepositInstruction(
            source_id=source_id, target_id=draft.wallet_id, amount=draft.money, request=request
        )
    ):
        return refusal
    draft.save(force_insert=True)
    ledger.claim_key_within(draft.user_id, request.idempotency_key)
    return draft


def _introduce(intent: PaymentIntent) -> PaymentIntent:
    """Let the provider know of the intent, unless it does. What it refuses has failed.

    The intent's id is the key there, so that a call whose answer was lost is made again safely. Where an
    event was quicker than the answer, what lets the customer pay is still to be asked for.
    """
    if _is_introduced(intent):
        return intent
    provider = get_provider(intent.provider)
    try:
        if intent.provider_reference:
            told = provider.fetch_payment(intent.provider_reference)
        else:
            told = provider.create_payment(intent_id=intent.pk, amount=intent.money)
    except ProviderRefused as refusal:
        told = _failed(intent, refusal)
    apply_payment(intent.provider, told, fetched=True)
    return PaymentIntent.objects.get(pk=intent.pk)


_UNTOLD = (IntentStatus.REQUIRES_CONFIRMATION, IntentStatus.PROCESSING)


def _is_introduced(intent: PaymentIntent) -> bool:
    """Its provider knows of it, and we know what lets its customer pay; or it has ended."""
    return bool(intent.client_secret) or intent.status not in _UNTOLD


def _confirm(intent: PaymentIntent) -> ProviderRefused | None:
    """Have it confirmed, and apply what became of it; returns why its provider left it unconfirmed."""
    provider, refused = get_provider(intent.provider), None
    try:
        told = provider.confirm_payment(intent.provider_reference)
    except ProviderRefused as refusal:
        told, refused = provider.fetch_payment(intent.provider_reference), refusal
    apply_payment(intent.provider, told, fetched=True)
    return refused if told.state is PaymentState.REQUIRES_CONFIRMATION else None


def _set_confirmed(intent_id: uuid.UUID, *, is_confirmed: bool) -> None:
    """What is known after a confirmation that brought no word of what became of it."""
    with transaction.atomic(durable=True):
        intent = lock_intent(intent_id)
        if intent.status != IntentStatus.REQUIRES_CONFIRMATION:
            return
        if is_confirmed:
            take_step(intent, IntentStatus.PROCESSING)
        else:
            intent.confirmed_at = None
        intent.save()


def _failed(intent: PaymentIntent, refusal: ProviderRefused) -> ProviderPayment:
    """What a refusal for good means for the payment."""
    return ProviderPayment(
        reference=intent.provider_reference,
        intent_id=intent.pk,
        state=PaymentState.FAILED,
        amount=intent.money,
        failure_code=refusal.code,
    )


def _require(intent: PaymentIntent, *statuses: IntentStatus) -> None:
    if intent.status not in statuses:
        raise InvalidPaymentState(f"The payment is {intent.status}.", payment_status=intent.status)
