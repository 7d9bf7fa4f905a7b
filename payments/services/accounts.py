"""Between which wallets the money of a payment moves."""

import uuid

from transactions.declines import CurrencyMismatch, WalletClosed
from users.models import User
from wallet.models import Wallet, WalletKind, WalletStatus
from wallet.selectors import list_wallets_of
from wallet.services import platform_wallet_id


def cash_wallet_id(provider: str, currency: str) -> uuid.UUID:
    """The platform's wallet that stands for its money at a provider. Outside a transaction, since it is
    opened where it does not exist yet."""
    return platform_wallet_id(purpose=f"cash:{provider}", kind=WalletKind.CASH, currency=currency)


def wallet_for(user: User, currency: str | None) -> Wallet:
    """The user's wallet for money in this currency: the primary one where it is of it or none is named,
    else the first that is open. Raises ``WalletClosed``, ``CurrencyMismatch`` where there is none."""
    own = sorted(list_wallets_of(user), key=lambda wallet: (wallet.user_id is None, wallet.pk))
    wanted = currency or own[0].currency
    fitting = [wallet for wallet in own if wallet.currency == wanted]
    for wallet in fitting:
        if wallet.status != WalletStatus.CLOSED:
            return wallet
    raise WalletClosed if fitting else CurrencyMismatch
