"""Money moving: transactions, the ledger entries they are made of, and what guards them."""

from transactions.models.ledger import (
    LedgerEntry,
    LedgerHalt,
    Transaction,
    TransactionKind,
    TransactionStatus,
    reference_of,
)

__all__ = [
    "LedgerEntry",
    "LedgerHalt",
    "Transaction",
    "TransactionKind",
    "TransactionStatus",
    "reference_of",
]
