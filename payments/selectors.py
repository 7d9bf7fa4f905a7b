"""Reading money in and out, always by who may see it; and how it is shown to its owner."""

import uuid
from typing import Any

from django.db.models import Q, QuerySet

from fintech_core.calls import call
from fintech_core.exceptions import NotFound
from fintech_core.money import format_amount
from fintech_core.serializers import format_time
from payments.models import (
    IntentStatus,
    PaymentIntent,
    Payout,
    PayoutStatus,
    Refund,
    RefundStatus,
)
from users.models import User
from wallet.models import Wallet

# Of each kind of movement, what waits for a last word; and whatever is still to be asked about.
_IS_DUE = Q(next_attempt_at__isnull=False)
_OPEN_INTENTS = _IS_DUE | Q(
    status__in=[IntentStatus.REQUIRES_CONFIRMATION, IntentStatus.PROCESSING]
)
_OPEN_REFUNDS = _IS_DUE | Q(status=RefundStatus.PENDING)
_OPEN_PAYOUTS = _IS_DUE | Q(status__in=[PayoutStatus.PENDING, PayoutStatus.IN_TRANSIT])


def list_intents_of(user: User) -> QuerySet[PaymentIntent]:
    """The user's own intents."""
    return PaymentIntent.objects.filter(user_id=user.pk)


def get_intent_of(user: User, intent_id: uuid.UUID) -> PaymentIntent:
    """One of the user's own intents. Raises ``NotFound`` for anybody else's."""
    intent = list_intents_of(user).filter(pk=intent_id).first()
    if intent is None:
        raise NotFound
    return intent


def list_payouts_of(user: User) -> QuerySet[Payout]:
    """The user's own payouts."""
    return Payout.objects.filter(user_id=user.pk)


def get_payout_of(user: User, payout_id: uuid.UUID) -> Payout:
    """One of the user's own payouts. Raises ``NotFound`` for anybody else's."""
    payout = list_payouts_of(user).filter(pk=payout_id).first()
    if payout is None:
        raise NotFound
    return payout


def has_open_movements(wallet: Wallet) -> bool:
    """Whether a provider may still pay into a user's wallet, or send back what went out of it."""
    if wallet.owner_id is None:
        return False
    intents = PaymentIntent.objects.filter(_OPEN_INTENTS, user=wallet.owner_id, wallet=wallet)
    refunds = Refund.objects.filter(
        _OPEN_REFUNDS, intent__user=wallet.owner_id, intent__wallet=wallet
    )
    payouts = Payout.objects.filter(_OPEN_PAYOUTS, user=wallet.owner_id, wallet=wallet)
    return intents.exists() or refunds.exists() or payouts.exists()


def describe_intent(intent: PaymentIntent) -> dict[str, Any]:
    """The intent as its owner sees it now."""
    return {
        "id": str(intent.pk),
        "status": str(intent.status),
        "amount": str(intent.money),
        "currency": intent.currency,
        "provider": intent.provider,
        "client_secret": intent.client_secret or None,
        "checkout_url": intent.checkout_url or None,
        "failure_code": intent.failure_code or None,
        "refunded_amount": format_amount(intent.refunded_amount, intent.currency),
        "transaction": str(intent.transaction_id) if intent.transaction_id else None,
        "created_at": format_time(intent.created_at),
    }


# What lets a browser pay at the provider.
_FOR_ITS_PAYER_ALONE = ("client_secret", "checkout_url")


def describe_announced_intent(intent: PaymentIntent) -> dict[str, Any]:
    """The intent as events tell of it, to whoever receives them."""
    told = describe_intent(intent)
    return {name: None if name in _FOR_ITS_PAYER_ALONE else told[name] for name in told}


def describe_new_intent(intent: PaymentIntent) -> dict[str, Any]:
    """The intent as it was when its provider first knew of it: the answer to the request that made it,
    whatever has become of it since."""
    told = describe_intent(intent)
    if intent.provider_reference:
        nothing = format_amount(intent.amount * 0, intent.currency)
        told |= {
            "status": str(IntentStatus.REQUIRES_CONFIRMATION),
            "failure_code": None,
            "refunded_amount": nothing,
            "transaction": None,
        }
    return told


def describe_refund(refund: Refund) -> dict[str, Any]:
    """The refund as the intent's owner sees it now."""
    return {
        "id": str(refund.pk),
        "intent": str(refund.intent_id),
        "amount": str(refund.money),
        "currency": refund.currency,
        "status": str(refund.status),
        "failure_code": refund.failure_code or None,
        "transaction": str(refund.transaction_id),
        "created_at": format_time(refund.created_at),
    }


def describe_new_refund(refund: Refund) -> dict[str, Any]:
    """The refund as it was when it was made."""
    return describe_refund(refund) | {"status": str(RefundStatus.PENDING), "failure_code": None}


def describe_payout(payout: Payout) -> dict[str, Any]:
    """The payout as its owner sees it now."""
    return {
        "id": str(payout.pk),
        "status": str(payout.status),
        "amount": str(payout.money),
        "currency": payout.currency,
        "destination": payout.destination,
        "provider": payout.provider,
        "failure_code": payout.failure_code or None,
        "transaction": str(payout.transaction_id),
        "created_at": format_time(payout.created_at),
    }


def describe_new_payout(payout: Payout) -> dict[str, Any]:
    """The payout as it was when it was made."""
    return describe_payout(payout) | {"status": str(PayoutStatus.PENDING), "failure_code": None}


def list_payment_violations() -> list[tuple[str, str]]:
    """Every (invariant, subject) of money in and out that does not hold, seen at one moment."""
    return [(invariant, subject) for invariant, subject in call("payment_violations")]
