"""Money operations as the API takes and shows them."""

from transactions.serializers.balances import (
    BalanceQuery,
    BalanceSerializer,
)
from transactions.serializers.transactions import (
    EntryPageQuery,
    EntrySerializer,
    TransactionDetailSerializer,
    TransactionPageQuery,
    TransactionSerializer,
    answer_of,
    represent_entries,
    represent_transaction,
)
from transactions.serializers.transfers import (
    BatchAnswerSerializer,
    BatchSerializer,
    TransferSerializer,
)

__all__ = [
    "BalanceQuery",
    "BalanceSerializer",
    "BatchAnswerSerializer",
    "BatchSerializer",
    "EntryPageQuery",
    "EntrySerializer",
    "TransactionDetailSerializer",
    "TransactionPageQuery",
    "TransactionSerializer",
    "TransferSerializer",
    "answer_of",
    "represent_entries",
    "represent_transaction",
]
