"""Money out: a payout is held at once, sent by a worker, then posted or given back as its provider
says."""

import logging
import uuid
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.utils import timezone

from fintech_core.database import exactly_once
from fintech_core.exceptions import InvalidInput, NotFound
from fintech_core.money import InvalidMoney, Money
from payments.locks import lock_payout
from payments.models import Payout, PayoutStatus
from payments.providers.base import PayoutState, ProviderPayout, ProviderRefused
from payments.providers.registry import default_provider, get_provider
from payments.services.accounts import cash_wallet_id, wallet_for
from payments.services.applying import Applied, apply_payout
from payments.services.errors import InvalidPaymentState
from payments.services.keys import wallet_of_key
from payments.services.schedule import begin_look, end_looks, look_again, take_step
from transactions import services as ledger
from transactions.instructions import Outcome, Request
from transactions.models import TransactionKind
from users.models import User
from wallet.models import WalletStatus

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CreatedPayout:
    """The payout that was made; or, in ``outcome``, the recorded refusal of one."""

    payout: Payout | None
    outcome: Outcome


def create_payout(
    *,
    user: User,
    amount: str,
    destination: str,
    request: Request,
    currency: str | None = None,
    provider: str | None = None,
) -> CreatedPayout:
    """Hold money that is to be paid out, once per idempotency key; a worker sends it.

    A refusal is recorded: by the wallet's state, limits, funds. Raises ``UnknownProvider``,
    ``InvalidInput``, ``CurrencyMismatch`` without a wallet of that currency, ``KycRequired``,
    ``TooManyHolds``, ``IdempotencyKeyReused``.
    """
    name = provider or default_provider()
    get_provider(name)
    wallet = wallet_of_key(request, TransactionKind.WITHDRAWAL) or wallet_for(user, currency)
    try:
        money = Money.parse(amount, wallet.currency)
    except InvalidMoney as error:
        raise InvalidInput({"amount": [str(error)]}) from None
    draft = Payout(
        user=user,
        wallet=wallet,
        amount=money.amount,
        currency=money.currency,
        provider=name,
        destination=destination,
    )
    target_id = cash_wallet_id(name, money.currency)
    return exactly_once(partial(_create, draft, target_id, request), keys=ledger.KEYS)


def cancel_payout(*, user: User, payout_id: uuid.UUID) -> Payout:
    """Call a payout off that was not sent yet, and give its money back.

    From the answer on it is not sent. Raises ``NotFound``, and ``InvalidPaymentState`` once it was
    sent, or called off.
    """
    if not Payout.objects.filter(pk=payout_id, user_id=user.pk).exists():
        raise NotFound

    has_tried = False

    def work() -> Payout:
        nonlocal has_tried
        payout = lock_payout(payout_id)
        if has_tried and payout.status == PayoutStatus.CANCELED:
            return payout  # By this very call: its commit landed, and the answer was lost.
        if payout.status != PayoutStatus.PENDING:
            raise InvalidPaymentState(
                f"The payout is {payout.status}.", payment_status=payout.status
            )
        ledger.release_withdrawal_within(payout.transaction_id)
        take_step(payout, PayoutStatus.CANCELED)
        payout.save()
        has_tried = True
        return payout

    return exactly_once(work, keys=ledger.KEYS)


def check_payout(payout_id: uuid.UUID, attempts: int | None = None) -> None:
    """Send a payout to its provider, or ask what has become of it; for the relay and its sweep.

    It counts as sent before the provider is asked: who calls it off comes before that, or is refused.
    Harmless when run twice or at once: the payout's id is the key at the provider.
    """
    if _begin(payout_id, attempts) is None:
        return
    payout = Payout.objects.get(pk=payout_id)
    if payout.status in {PayoutStatus.CANCELED, PayoutStatus.FAILED}:
        return
    provider = get_provider(payout.provider)
    if payout.provider_reference:
        told = provider.fetch_payout(payout.provider_reference)
    else:
        try:
            told = provider.pay_out(
                payout_id=payout.pk, amount=payout.money, destination=payout.destination
            )
        except ProviderRefused as refusal:
            told = ProviderPayout(
                reference="",
                payout_id=payout.pk,
                state=PayoutState.FAILED,
                amount=payout.money,
                failure_code=refusal.code,
            )
    if apply_payout(payout.provider, told, fetched=True) is Applied.MISMATCH:
        end_looks(payout)


def _begin(payout_id: uuid.UUID, attempts: int | None) -> object | None:
    """Claim a pending payout for sending, or a look at one that was sent. None where there is nothing
    to do now: a frozen wallet's money is not sent before it thaws."""
    with transaction.atomic(durable=True):
        payout = lock_payout(payout_id)
        if payout.status == PayoutStatus.PENDING:
            get_provider(payout.provider)  # Switched off, it leaves the payout to be called off.
            if payout.wallet.status == WalletStatus.FROZEN:
                payout.attempts += 1
                look_again(payout)
                payout.save()
                return None
            take_step(payout, PayoutStatus.IN_TRANSIT)
            payout.save()
            return payout
    return begin_look(Payout, payout_id, attempts)


def _create(draft: Payout, target_id: uuid.UUID, request: Request) -> CreatedPayout:
    outcome = ledger.hold_withdrawal_within(
        source_id=draft.wallet_id,
        target_id=target_id,
        amount=draft.money,
        request=request,
        description="Payout",
    )
    record = outcome.transaction
    if record.decline is not None:
        return CreatedPayout(None, outcome)
    if outcome.is_replay:
        return CreatedPayout(Payout.objects.get(transaction_id=record.id), outcome)
    draft.transaction_id = record.id
    draft.next_attempt_at = timezone.now()
    draft.save(force_insert=True)
    return CreatedPayout(draft, outcome)
