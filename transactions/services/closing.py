"""Closing a wallet: what its expired holds keep is given back first."""

import uuid

from fintech_core.database import exactly_once
from transactions.accounts import open_accounts
from transactions.ledger import Journal
from wallet import services as wallets
from wallet.models import Wallet


def close_wallet(*, wallet_id: uuid.UUID, owner_id: uuid.UUID) -> Wallet:
    """Close an own wallet that is empty; a hold that has run out counts for nothing, swept or not.

    From the commit on no money moves through it. Raises what ``wallet.services.close_wallet`` does;
    then nothing has changed.
    """

    def work() -> Wallet:
        journal = Journal(open_accounts(wallets=[wallet_id]))
        if journal:
            journal.write()
        return wallets.close_wallet(wallet_id=wallet_id, owner_id=owner_id)

    return exactly_once(work)
