"""Money moving: transactions, the ledger entries they are made of, and what guards them."""

from transactions.models.exchange import (
    HIGHEST_RATE,
    LOWEST_RATE,
    ExchangeRate,
    Quote,
)
from transactions.models.ledger import (
    LedgerEntry,
    LedgerHalt,
    Transaction,
    TransactionKind,
    TransactionStatus,
    reference_of,
)

__all__ = [
    "HIGHEST_RATE",
    "LOWEST_RATE",
    "ExchangeRate",
    "LedgerEntry",
    "LedgerHalt",
    "Quote",
    "Transaction",
    "TransactionKind",
    "TransactionStatus",
    "reference_of",
]
