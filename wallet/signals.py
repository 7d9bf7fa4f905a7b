"""What wallets do when something happens to users. No signal moves money."""

import uuid
from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from users.models import User
from users.signals import standing_will_change
from wallet.locks import lock_wallets_of
from wallet.services import open_primary_wallet


@receiver(post_save, sender=User, dispatch_uid="wallet.open_primary_wallet")
def open_wallet_of_new_user(
    sender: type[User], instance: User, created: bool, raw: bool = False, **_: Any
) -> None:
    """Every user has a wallet from the transaction that made the user."""
    if created and not raw:
        open_primary_wallet(user=instance)


@receiver(standing_will_change, sender=User, dispatch_uid="wallet.lock_wallets_of_user")
def lock_wallets_before_standing_changes(sender: type[User], user_id: uuid.UUID, **_: Any) -> None:
    """A transfer decides under its wallets' locks; whoever changes what it decides by waits for them."""
    lock_wallets_of(user_id)
