"""What payments do when something happens to wallets."""

from typing import Any

from django.dispatch import receiver

from payments.selectors import has_open_movements
from wallet.hooks import wallet_will_close
from wallet.models import Wallet
from wallet.services import WalletInUse


@receiver(wallet_will_close, sender=Wallet, dispatch_uid="payments.keep_wallet_open")
def keep_wallet_of_open_movements(sender: type[Wallet], wallet: Wallet, **_: Any) -> None:
    """What a provider may still pay, or send back, finds a wallet that takes it.

    Movements are begun under the wallet's lock, which who closes it has: none is overlooked.
    """
    if has_open_movements(wallet):
        raise WalletInUse
