"""Reads of this app, of any size. Nothing here locks or writes."""

from transactions.selectors.balances import (
    Balance,
    OpenHold,
    PastBalance,
    get_balance,
    get_limits,
    get_past_balance,
    last_entry_before,
)
from transactions.selectors.books import (
    list_violations,
    reconcile,
)
from transactions.selectors.filters import (
    HistoryFilter,
    HistoryPage,
    Place,
    list_history,
)
from transactions.selectors.history import (
    current_records_of,
    entries_of_transaction,
    get_transaction_of,
    list_entries_of,
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
from transactions.selectors.plans import (
    in_index_order,
)
from transactions.selectors.schedules import (
    get_schedule_of,
    last_runs_of,
    list_schedules_of,
)
from transactions.selectors.statements import (
    Statement,
    StatementLine,
    open_statement,
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
    "HistoryFilter",
    "HistoryPage",
    "OpenHold",
    "PastBalance",
    "Place",
    "Progress",
    "Statement",
    "StatementLine",
    "Violation",
    "are_postings_halted",
    "current_records_of",
    "entries_of_transaction",
    "facts_of_hold",
    "find_violations",
    "get_balance",
    "get_limits",
    "get_past_balance",
    "get_schedule_of",
    "get_transaction_of",
    "in_index_order",
    "last_entry_before",
    "last_runs_of",
    "last_verified_checkpoint",
    "list_entries_of",
    "list_history",
    "list_overdue_wallets",
    "list_schedules_of",
    "list_violations",
    "log_lines",
    "number_of",
    "open_statement",
    "reconcile",
    "records_by_key",
    "records_of",
    "reversed_amounts",
    "root_of",
    "transactions_by_id",
    "transactions_with_parties",
]
