"""Opening, naming, freezing and closing wallets, and how far they may be overdrawn.

None of it touches a balance.
"""

import functools
import uuid

from django.conf import settings
from django.db import transaction

from events.models import AuditRecord
from events.services import announce, record_audit
from fintech_core.database import exactly_once
from fintech_core.exceptions import DomainError, InvalidInput, NotFound
from fintech_core.fields import uuid7
from fintech_core.money import InvalidMoney, Money, format_amount
from fintech_core.times import format_time
from users.models import User
from wallet.hooks import wallet_will_close
from wallet.locks import lock_wallets, lock_wallets_of
from wallet.models import Wallet, WalletKind, WalletStatus


class InvalidWalletState(DomainError):
    """409: the wallet's status does not allow the change."""

    status = 409
    code = "invalid_state"
    title = "The wallet is not in a state that allows this."


class TooManyWallets(DomainError):
    """409: the user has as many open wallets as one may have. Fact: ``limit``."""

    status = 409
    code = "too_many_wallets"
    title = "No more wallets can be opened; close one first."


class WalletNotEmpty(DomainError):
    """409: there is money in it, or held in it, or it is overdrawn."""

    status = 409
    code = "wallet_not_empty"
    title = "Only an empty wallet can be closed."


class WalletInUse(DomainError):
    """409: money may still come to it by a payment that is not finished."""

    status = 409
    code = "wallet_in_use"
    title = "Payments of this wallet are not finished; wait for them, or cancel them."


class OverdraftInUse(DomainError):
    """409: the wallet is further below zero than the new limit allows."""

    status = 409
    code = "overdraft_in_use"
    title = "More of the overdraft is in use than that."


# The constraint that a twin's first wallet of the same currency would break.
_FIRST_OF_CURRENCY = "limits_are_counted_once_per_owner_and_currency"


def open_primary_wallet(*, user: User) -> Wallet:
    """The user's one primary wallet, in the platform's default currency, empty."""
    return Wallet.objects.create(user=user, owner=user, currency=settings.DEFAULT_CURRENCY)


def open_wallet(*, owner: User, currency: str, name: str) -> Wallet:
    """Another wallet of the user, empty: a pot of a currency there is one of already, or a new currency.

    The first of a currency counts the owner's limits in it; the others name that one, closed or not.
    Raises ``InvalidInput`` for a currency that is not offered, ``TooManyWallets``.
    """
    if currency not in settings.LIMITS[0]:
        text = "This currency is not offered."
        raise InvalidInput({"currency": [text]}, {"currency": ["not_offered"]})

    wallet_id = uuid7()

    def work() -> Wallet:
        # Every user has a wallet from the start: who opens another one queues here behind a twin.
        lock_wallets_of(owner.pk)
        own = list(Wallet.objects.filter(owner_id=owner.pk))
        if opened := next((wallet for wallet in own if wallet.pk == wallet_id), None):
            return opened  # By this very call: its commit landed, and the answer was lost.
        limit = settings.WALLETS_PER_USER
        if sum(wallet.status != WalletStatus.CLOSED for wallet in own) >= limit:
            raise TooManyWallets(limit=limit)
        first = next((w for w in own if w.currency == currency and not w.limits_wallet_id), None)
        wallet = Wallet.objects.create(
            pk=wallet_id, owner_id=owner.pk, currency=currency, name=name, limits_wallet=first
        )
        record_audit(
            action="wallet.opened",
            subject_type="wallet",
            subject_id=wallet.pk,
            actor_id=owner.pk,
            after={"currency": currency},
        )
        return wallet

    return exactly_once(work, keys=_FIRST_OF_CURRENCY)


def open_platform_wallet(*, purpose: str, kind: WalletKind, currency: str) -> Wallet:
    """The platform's wallet for this purpose and currency; opened where it does not exist yet."""
    wallet, _ = Wallet.objects.get_or_create(
        purpose=purpose, currency=currency, defaults={"kind": kind}
    )
    return wallet


@functools.cache
def platform_wallet_id(*, purpose: str, kind: WalletKind, currency: str) -> uuid.UUID:
    """The id of ``open_platform_wallet()``, remembered: it never changes."""
    return open_platform_wallet(purpose=purpose, kind=kind, currency=currency).pk


@transaction.atomic(durable=True)
def rename_wallet(*, wallet_id: uuid.UUID, owner_id: uuid.UUID, name: str) -> Wallet:
    """Give an own wallet another name. Raises ``NotFound`` where it is not the owner's."""
    wallet = Wallet.objects.filter(pk=wallet_id, owner_id=owner_id).first()
    if wallet is None:
        raise NotFound
    wallet.name = name
    wallet.save(update_fields=["name"])
    return wallet


def freeze_wallet(*, wallet_id: uuid.UUID, acting_user: User, reason: str) -> Wallet:
    """From its commit on, nothing leaves or enters the wallet.

    Waits for transfers that hold the wallet's lock; those that come later see it frozen.
    """
    return _change_status(
        wallet_id, acting_user, reason, WalletStatus.ACTIVE, WalletStatus.FROZEN, "wallet.frozen"
    )


def unfreeze_wallet(*, wallet_id: uuid.UUID, acting_user: User, reason: str) -> Wallet:
    """Let money move again."""
    return _change_status(
        wallet_id, acting_user, reason, WalletStatus.FROZEN, WalletStatus.ACTIVE, "wallet.unfrozen"
    )


def close_wallet(*, wallet_id: uuid.UUID, owner_id: uuid.UUID) -> Wallet:
    """Close an own wallet for ever: nothing leaves or enters it any more.

    Joins the caller's transaction, which has ended the wallet's expired holds
    (``transactions.services.close_wallet``). Raises ``NotFound``, ``InvalidWalletState`` where it is
    frozen or closed already, ``WalletNotEmpty``, ``WalletInUse`` where an app above knows of more.
    """
    wallet = lock_wallets([wallet_id]).get(wallet_id)
    if wallet is None or wallet.owner_id != owner_id:
        raise NotFound
    if wallet.status != WalletStatus.ACTIVE:
        raise InvalidWalletState(f"The wallet is {wallet.status}.", wallet_status=wallet.status)
    if wallet.balance or wallet.held:
        raise WalletNotEmpty
    wallet_will_close.send(sender=Wallet, wallet=wallet)
    wallet.status = WalletStatus.CLOSED
    wallet.save(update_fields=["status"])
    record_audit(
        action="wallet.closed",
        subject_type="wallet",
        subject_id=wallet.pk,
        actor_id=owner_id,
        before={"status": WalletStatus.ACTIVE},
        after={"status": WalletStatus.CLOSED},
    )
    return wallet


@transaction.atomic(durable=True)
def set_overdraft(*, wallet_id: uuid.UUID, limit: str, acting_user: User) -> Wallet:
    """How far below zero a user's wallet may go; its text in the wallet's currency. On record.

    Raises ``NotFound`` (the platform's wallets have no limit), ``InvalidInput``, ``InvalidWalletState``
    for a closed wallet, ``OverdraftInUse`` where more is used or held than that.
    """
    wallet = lock_wallets([wallet_id]).get(wallet_id)
    if wallet is None or wallet.kind != WalletKind.USER:
        raise NotFound
    try:
        amount = Money.parse(limit, wallet.currency).amount
    except InvalidMoney as error:
        raise InvalidInput({"limit": [str(error)]}) from None
    if wallet.status == WalletStatus.CLOSED:
        raise InvalidWalletState("The wallet is closed.", wallet_status=wallet.status)
    if wallet.available < -amount:
        raise OverdraftInUse
    before = wallet.overdraft_limit
    wallet.overdraft_limit = amount
    wallet.save(update_fields=["overdraft_limit"])
    record_audit(
        action="wallet.overdraft_set",
        subject_type="wallet",
        subject_id=wallet.pk,
        actor_id=acting_user.pk,
        before={"limit": None if before is None else format_amount(before, wallet.currency)},
        after={"limit": format_amount(amount, wallet.currency), "currency": wallet.currency},
    )
    return wallet


@transaction.atomic(durable=True)
def _change_status(
    wallet_id: uuid.UUID,
    acting_user: User,
    reason: str,
    expected: WalletStatus,
    status: WalletStatus,
    action: str,
) -> Wallet:
    wallet = lock_wallets([wallet_id]).get(wallet_id)
    if wallet is None:
        raise NotFound
    if wallet.status != expected:
        raise InvalidWalletState(f"The wallet is {wallet.status}.", wallet_status=wallet.status)
    wallet.status, wallet.status_reason = status, reason
    wallet.save(update_fields=["status", "status_reason"])
    record_audit(
        action=action,
        subject_type="wallet",
        subject_id=wallet.pk,
        actor_id=acting_user.pk,
        before={"status": expected},
        after={"status": status},
        reason=reason,
    )
    if status == WalletStatus.FROZEN and wallet.owner_id:
        _announce_frozen(wallet, wallet.owner_id)
    return wallet


def _announce_frozen(wallet: Wallet, owner_id: uuid.UUID) -> None:
    """Tell the owner; of a wallet its freezes are counted, under its lock."""
    freezes = AuditRecord.objects.filter(
        subject_type="wallet", subject_id=wallet.pk, action="wallet.frozen"
    )
    announce(
        "wallet.frozen",
        owner_id=owner_id,
        subject_id=wallet.pk,
        sequence=freezes.count(),
        data={
            "id": str(wallet.pk),
            "name": wallet.name,
            "currency": wallet.currency,
            "status": wallet.status,
            "is_primary": wallet.user_id is not None,
            "created_at": format_time(wallet.created_at),
        },
    )
