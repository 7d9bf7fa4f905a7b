"""Reads of this app, of any size. Nothing here locks or writes."""

from transactions.selectors.balances import Balance, OpenHold, get_balance, get_limits
from transactions.selectors.books import check_books, list_violations
from transactions.selectors.history import (
    current_records_of,
    entries_of_transaction,
    get_transaction_of,
    list_entries_of,
    list_transactions_of,
    records_by_key,
    records_of,
    transactions_by_id,
    transactions_with_parties,
)
from transactions.selectors.holds import (
    facts_of_hold,
    list_overdue_wallets,
    reversed_amounts,
)

__all__ = [
    "Balance",
    "OpenHold",
    "check_books",
    "current_records_of",
    "entries_of_transaction",
    "facts_of_hold",
    "get_balance",
    "get_limits",
    "get_transaction_of",
    "list_entries_of",
    "list_overdue_wallets",
    "list_transactions_of",
    "list_violations",
    "records_by_key",
    "records_of",
    "reversed_amounts",
    "transactions_by_id",
    "transactions_with_parties",
]
