"""Reads of this app, of any size. Nothing here locks or writes."""

from transactions.selectors.balances import Balance, get_balance, get_limits
from transactions.selectors.books import check_books, list_violations
from transactions.selectors.history import (
    get_transaction_of,
    is_recorded,
    list_entries_of,
    list_transactions_of,
    own_wallet_ids,
    records_by_key,
    records_of,
    transactions_with_parties,
)

__all__ = [
    "Balance",
    "check_books",
    "get_balance",
    "get_limits",
    "get_transaction_of",
    "is_recorded",
    "list_entries_of",
    "list_transactions_of",
    "list_violations",
    "own_wallet_ids",
    "records_by_key",
    "records_of",
    "transactions_with_parties",
]
