"""Money operations as the API takes and shows them."""

from transactions.serializers.balances import (
    BalanceQuery,
    BalanceSerializer,
)
from transactions.serializers.conversions import (
    ConversionSerializer,
    QuoteRequestSerializer,
    QuoteSerializer,
    represent_quote,
)
from transactions.serializers.fees import FeeQuery, FeeSerializer
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
    TransferSerializer,
)

__all__ = [
    "BalanceQuery",
    "BalanceSerializer",
    "ConversionSerializer",
    "EntryPageQuery",
    "EntrySerializer",
    "FeeQuery",
    "FeeSerializer",
    "QuoteRequestSerializer",
    "QuoteSerializer",
    "TransactionDetailSerializer",
    "TransactionPageQuery",
    "TransactionSerializer",
    "TransferSerializer",
    "answer_of",
    "represent_entries",
    "represent_quote",
    "represent_transaction",
]
