"""Money moving over HTTP: thin layers over ``transactions.services`` and ``transactions.selectors``."""

from transactions.views.balances import BalanceView
from transactions.views.closing import CloseWalletView
from transactions.views.conversions import ConversionView, QuoteView
from transactions.views.fees import FeeView
from transactions.views.history import EntryListView, TransactionListView, TransactionView
from transactions.views.transfers import TransferView

__all__ = [
    "BalanceView",
    "CloseWalletView",
    "ConversionView",
    "EntryListView",
    "FeeView",
    "QuoteView",
    "TransactionListView",
    "TransactionView",
    "TransferView",
]
