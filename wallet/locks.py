"""The one place where wallet rows are locked, and the order in which: by id.

Everybody who will change a wallet, or decide by it, takes its lock first: here, or by the ledger's
``open_accounts()``, which locks in the same order. Two that need the same wallets then queue instead of
deadlocking. ``FOR NO KEY UPDATE`` lets rows that reference a wallet be inserted meanwhile; ``FOR UPDATE``
would deadlock with them.
"""

import uuid
from collections.abc import Iterable

from wallet.models import Wallet


def lock_wallets(wallet_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Wallet]:
    """Lock the wallets until the transaction ends and return them as they now are, by id.

    Rows are read after their lock was got: READ COMMITTED sees what the last holder left.
    """
    queryset = (
        Wallet.objects.select_for_update(no_key=True, of=("self",))
        .filter(pk__in=set(wallet_ids))
        .order_by("pk")
    )
    return {wallet.pk: wallet for wallet in queryset}


def lock_wallets_of(user_id: uuid.UUID) -> None:
    """Lock all wallets of a user, so that no transfer decides while the user's standing changes.

    Whoever opens another one locks these first. So one that was opened while this waited for them is seen
    by a second look, and none comes after it.
    """
    for _ in range(2):
        list(
            Wallet.objects.select_for_update(no_key=True, of=("self",))
            .filter(owner_id=user_id)
            .order_by("pk")
            .values_list("pk")
        )
