"""The posting core: the only writer of transactions, entries and balances.

N decided postings are written by one SQL statement, whether N is one or a thousand.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from fintech_core.database import call
from fintech_core.money import Money
from transactions.instructions import Posting
from transactions.limits import Spending


def post(postings: Sequence[Posting], *, spending: dict[uuid.UUID, Spending]) -> None:
    """Write the postings and move their wallets; fills in each transaction's ``balances_after``.

    The caller holds the locks of every wallet named, in the open transaction. ``spending`` is what the
    payers' wallets have spent by now. Raises ``IntegrityError`` named for the fact that would not hold:
    PostgreSQL refuses what is not whole, and nothing is written then.
    """
    transactions = [_row(posting) for posting in postings]
    legs = [
        {
            "transaction": str(posting.transaction.id),
            "wallet": str(leg.wallet_id),
            "amount": str(Money(leg.amount, posting.transaction.currency)),
        }
        for posting in postings
        for leg in posting.legs
    ]
    windows = [
        {
            "wallet": str(wallet_id),
            "spent_on": spent.on.isoformat(),
            "spent_in_day": str(spent.in_day),
            "spent_in_month": str(spent.in_month),
        }
        for wallet_id, spent in spending.items()
    ]
    arguments = (transactions, legs, windows)
    rows = call("post_ledger", *(json.dumps(argument) for argument in arguments))
    balances = {posting.transaction.id: posting.transaction.balances_after for posting in postings}
    for transaction_id, wallet_id, balance in rows:
        balances[transaction_id][wallet_id] = balance


def _row(posting: Posting) -> dict[str, Any]:
    record = posting.transaction
    return {
        "id": str(record.id),
        "kind": record.kind,
        "status": record.status,
        "amount": str(Money(record.amount, record.currency)),
        "currency": record.currency,
        "from_wallet_id": str(record.from_wallet_id),
        "to_wallet_id": str(record.to_wallet_id),
        "initiated_by_id": str(record.initiated_by_id) if record.initiated_by_id else None,
        "idempotency_key": record.idempotency_key,
        "fingerprint": f"\\x{record.fingerprint.hex()}",
        "description": record.description,
        "metadata": record.metadata,
        "decline_code": record.decline_code,
        "decline_facts": record.decline_facts,
        "request_id": record.request_id,
        "client_address": record.client_address,
        "created_at": record.created_at.isoformat(),
    }
