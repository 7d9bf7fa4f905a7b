"""Reads of this app, of any size. Nothing here locks or writes."""

from transactions.selectors.balances import (
    Balance,
    OpenHold,
    get_balance,
    get_limits,
)
from transactions.selectors.books import (
    list_violations,
    reconcile,
)
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
from transactions.selectors.schedules import (
    get_schedule_of,
    last_runs_of,
    list_schedules_of,
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
    "OpenHold",
    "Progress",
    "Violation",
    "are_postings_halted",
    "current_records_of",
    "entries_of_transaction",
    "facts_of_hold",
    "find_violations",
    "get_balance",
    "get_limits",
    "get_schedule_of",
    "get_transaction_of",
    "last_runs_of",
    "last_verified_checkpoint",
    "list_entries_of",
    "list_overdue_wallets",
    "list_schedules_of",
    "list_transactions_of",
    "list_violations",
    "log_lines",
    "number_of",
    "reconcile",
    "records_by_key",
    "records_of",
    "reversed_amounts",
    "root_of",
    "transactions_by_id",
    "transactions_with_parties",
]
