"""Closing a wallet: what its expired holds keep is given back first."""

import uuid

from fintech_core.database import exactly_once
from transactions.accounts import open_accounts
from transactions.ledger import Journal
from wallet import services as wallets
from wallet.models import Wallet, WalletStatus


def close_wallet(*, wallet_id: uuid.UUID, owner_id: uuid.UUID) -> Wallet:
    """Close an own wallet that is empty; a hold that has run out counts for nothing, swept or not.

    From the commit on no money moves through it. Raises what ``wallet.services.close_wallet`` does;
    then nothing has changed.
    """

    has_tried = False

    def work() -> Wallet:
        nonlocal has_tried
        opened = open_accounts(wallets=[wallet_id])
        account = opened.accounts.get(wallet_id)
        if has_tried and account and account.status == WalletStatus.CLOSED:
            # By this very call: its commit landed, and the answer was lost.
            return Wallet.objects.get(pk=wallet_id)
        journal = Journal(opened)
        if journal:
            journal.write()
        closed = wallets.close_wallet(wallet_id=wallet_id, owner_id=owner_id)
        has_tried = True
        return closed

    return exactly_once(work)
