"""Money operations as the API takes and shows them."""

from transactions.serializers.balances import (
    BalanceQuery,
    BalanceSerializer,
    represent_open_hold,
    represent_past_balance,
)
from transactions.serializers.conversions import (
    ConversionSerializer,
    QuoteRequestSerializer,
    QuoteSerializer,
    represent_quote,
)
from transactions.serializers.fees import (
    FeeQuery,
    FeeSerializer,
)
from transactions.serializers.history import (
    EntryPageQuery,
    TransactionPageQuery,
)
from transactions.serializers.holds import (
    CaptureSerializer,
    HoldGroupSerializer,
    ReversalSerializer,
    VoidSerializer,
)
from transactions.serializers.schedules import (
    ScheduleOrderSerializer,
    SchedulePageQuery,
    ScheduleSerializer,
    represent_planned,
    represent_schedules,
)
from transactions.serializers.statements import (
    StatementQuery,
    StatementSerializer,
    render_statement,
)
from transactions.serializers.transactions import (
    EntrySerializer,
    TransactionDetailSerializer,
    TransactionListSerializer,
    TransactionSerializer,
    answer_of,
    answer_of_hold,
    answer_of_holds,
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
    "CaptureSerializer",
    "ConversionSerializer",
    "EntryPageQuery",
    "EntrySerializer",
    "FeeQuery",
    "FeeSerializer",
    "HoldGroupSerializer",
    "QuoteRequestSerializer",
    "QuoteSerializer",
    "ReversalSerializer",
    "ScheduleOrderSerializer",
    "SchedulePageQuery",
    "ScheduleSerializer",
    "StatementQuery",
    "StatementSerializer",
    "TransactionDetailSerializer",
    "TransactionListSerializer",
    "TransactionPageQuery",
    "TransactionSerializer",
    "TransferSerializer",
    "VoidSerializer",
    "answer_of",
    "answer_of_hold",
    "answer_of_holds",
    "render_statement",
    "represent_entries",
    "represent_open_hold",
    "represent_past_balance",
    "represent_planned",
    "represent_quote",
    "represent_schedules",
    "represent_transaction",
]
