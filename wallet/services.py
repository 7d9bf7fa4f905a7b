"""Opening, naming and freezing wallets. None of it touches a balance."""

import functools
import uuid

from django.conf import settings
from django.db import transaction

from events.services import record_audit
from fintech_core.exceptions import DomainError, NotFound
from users.models import User
from wallet.locks import lock_wallets
from wallet.models import Wallet, WalletKind, WalletStatus


class InvalidWalletState(DomainError):
    """409: the wallet's status does not allow the change."""

    status = 409
    code = "invalid_state"
    title = "The wallet is not in a state that allows this."


def open_primary_wallet(*, user: User) -> Wallet:
    """The user's one primary wallet, in the platform's default currency, empty."""
    return Wallet.objects.create(user=user, owner=user, currency=settings.DEFAULT_CURRENCY)


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
    return wallet
