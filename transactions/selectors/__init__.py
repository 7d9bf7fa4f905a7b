"""Reads of this app, of any size. Nothing here locks or writes."""

from transactions.selectors.balances import (
    Balance,
    PastBalance,
    get_balance,
    get_limits,
    get_past_balance,
    last_entry_before,
)
from transactions.selectors.books import check_books, list_violations
from transactions.selectors.filters import HistoryFilter, HistoryPage, Place, list_history
from transactions.selectors.history import (
    get_transaction_of,
    list_entries_of,
    list_entries_of_transaction,
    records_by_key,
    records_of,
    transactions_with_parties,
)
from transactions.selectors.plans import in_index_order
from transactions.selectors.statements import Statement, StatementLine, open_statement

__all__ = [
    "Balance",
    "HistoryFilter",
    "HistoryPage",
    "PastBalance",
    "Place",
    "Statement",
    "StatementLine",
    "check_books",
    "get_balance",
    "get_limits",
    "get_past_balance",
    "get_transaction_of",
    "in_index_order",
    "last_entry_before",
    "list_entries_of",
    "list_entries_of_transaction",
    "list_history",
    "list_violations",
    "open_statement",
    "records_by_key",
    "records_of",
    "transactions_with_parties",
]
