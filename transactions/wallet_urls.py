"""Routes under ``/api/wallet/`` that the ledger answers."""

from django.urls import path

from transactions import views

urlpatterns = [
    path("wallets/<uuid:wallet_id>/balance/", views.BalanceView.as_view(), name="wallet-balance"),
    path("wallets/<uuid:wallet_id>/entries/", views.EntryListView.as_view(), name="wallet-entries"),
    path("wallets/<uuid:wallet_id>/close/", views.CloseWalletView.as_view(), name="wallet-close"),
    path(
        "wallets/<uuid:wallet_id>/statement/",
        views.StatementView.as_view(),
        name="wallet-statement",
    ),
]
