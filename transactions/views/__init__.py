"""Money moving over HTTP: thin layers over ``transactions.services`` and ``transactions.selectors``."""

from transactions.views.balances import (
    BalanceView,
)
from transactions.views.batches import (
    BatchView,
)
from transactions.views.closing import (
    CloseWalletView,
)
from transactions.views.conversions import (
    ConversionView,
    QuoteView,
)
from transactions.views.fees import (
    FeeView,
)
from transactions.views.history import (
    EntryListView,
    TransactionListView,
    TransactionView,
)
from transactions.views.holds import (
    CaptureView,
    GroupCaptureView,
    GroupVoidView,
    VoidView,
)
from transactions.views.reversals import (
    ReverseView,
)
from transactions.views.schedules import (
    ScheduleListView,
    ScheduleView,
)
from transactions.views.statements import (
    StatementView,
)
from transactions.views.transfers import (
    TransferView,
)

__all__ = [
    "BalanceView",
    "BatchView",
    "CaptureView",
    "CloseWalletView",
    "ConversionView",
    "EntryListView",
    "FeeView",
    "GroupCaptureView",
    "GroupVoidView",
    "QuoteView",
    "ReverseView",
    "ScheduleListView",
    "ScheduleView",
    "StatementView",
    "TransactionListView",
    "TransactionView",
    "TransferView",
    "VoidView",
]
