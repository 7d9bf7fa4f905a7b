"""Money moving over HTTP: thin layers over ``transactions.services`` and ``transactions.selectors``."""

from transactions.views.balances import BalanceView
from transactions.views.history import EntryListView, TransactionListView, TransactionView
from transactions.views.statements import StatementView
from transactions.views.transfers import TransferView

__all__ = [
    "BalanceView",
    "EntryListView",
    "StatementView",
    "TransactionListView",
    "TransactionView",
    "TransferView",
]
