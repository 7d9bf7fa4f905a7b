"""Money moving: transactions, the ledger entries they are made of, and what guards them."""

from transactions.models.checkpoints import (
    Checkpoint,
    CheckpointHead,
    Verification,
)
from transactions.models.exchange import (
    HIGHEST_RATE,
    LOWEST_RATE,
    ExchangeRate,
    Quote,
)
from transactions.models.keys import ClaimedKey
from transactions.models.ledger import (
    GIVES_BACK,
    SHOWN_STATUS,
    LedgerEntry,
    LedgerHalt,
    Transaction,
    TransactionKind,
    TransactionStatus,
    reference_of,
)
from transactions.models.schedules import RunStatus, Schedule, ScheduleRun, ScheduleStatus

__all__ = [
    "GIVES_BACK",
    "HIGHEST_RATE",
    "LOWEST_RATE",
    "SHOWN_STATUS",
    "Checkpoint",
    "CheckpointHead",
    "ClaimedKey",
    "ExchangeRate",
    "LedgerEntry",
    "LedgerHalt",
    "Quote",
    "RunStatus",
    "Schedule",
    "ScheduleRun",
    "ScheduleStatus",
    "Transaction",
    "TransactionKind",
    "TransactionStatus",
    "Verification",
    "reference_of",
]
