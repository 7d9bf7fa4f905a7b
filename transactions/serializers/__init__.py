"""Money operations as the API takes and shows them."""

from transactions.serializers.balances import (
    BalanceQuery,
    BalanceSerializer,
    represent_past_balance,
)
from transactions.serializers.history import EntryPageQuery, TransactionPageQuery
from transactions.serializers.statements import (
    StatementQuery,
    StatementSerializer,
    render_statement,
)
from transactions.serializers.transactions import (
    EntrySerializer,
    TransactionDetailSerializer,
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
    "EntryPageQuery",
    "EntrySerializer",
    "StatementQuery",
    "StatementSerializer",
    "TransactionDetailSerializer",
    "TransactionPageQuery",
    "TransactionSerializer",
    "TransferSerializer",
    "answer_of",
    "render_statement",
    "represent_entries",
    "represent_past_balance",
    "represent_transaction",
]
