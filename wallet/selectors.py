"""Reading wallets, always by who may see them."""

import uuid

from django.db.models import QuerySet

from fintech_core.exceptions import NotFound
from users.models import User
from wallet.models import Wallet


def list_wallets_of(user: User) -> QuerySet[Wallet]:
    """The user's own wallets."""
    return Wallet.objects.filter(owner_id=user.pk)


def get_primary_wallet(user: User) -> Wallet:
    """The user's primary wallet."""
    return Wallet.objects.get(user_id=user.pk)


def get_wallet_of(user: User, wallet_id: uuid.UUID) -> Wallet:
    """One of the user's own wallets. Raises ``NotFound`` for anybody else's."""
    wallet = list_wallets_of(user).filter(pk=wallet_id).first()
    if wallet is None:
        raise NotFound
    return wallet
