"""Reads of this app, of any size. Nothing here locks or writes."""

from transactions.selectors.balances import Balance, get_balance, get_limits
from transactions.selectors.books import list_violations, reconcile
from transactions.selectors.history import (
    get_transaction_of,
    is_recorded,
    list_entries_of,
    list_transactions_of,
    records_by_key,
    records_of,
    transactions_with_parties,
)
from transactions.selectors.verification import (
    Extent,
    Progress,
    Violation,
    are_postings_halted,
    find_violations,
    last_verified_checkpoint,
    log_lines,
    number_of,
    root_of,
)

__all__ = [
    "Balance",
    "Extent",
    "Progress",
    "Violation",
    "are_postings_halted",
    "find_violations",
    "get_balance",
    "get_limits",
    "get_transaction_of",
    "is_recorded",
    "last_verified_checkpoint",
    "list_entries_of",
    "list_transactions_of",
    "list_violations",
    "log_lines",
    "number_of",
    "reconcile",
    "records_by_key",
    "records_of",
    "root_of",
    "transactions_with_parties",
]
