"""Routes under ``/api/wallet/`` that the wallet app answers; the ledger's are in ``transactions``."""

from django.urls import path

from wallet import views

urlpatterns = [
    path("", views.PrimaryWalletView.as_view(), name="wallet"),
    path("wallets/", views.WalletListView.as_view(), name="wallet-list"),
    path("wallets/<uuid:wallet_id>/", views.WalletView.as_view(), name="wallet-detail"),
    path(
        "wallets/<uuid:wallet_id>/overdraft/",
        views.OverdraftView.as_view(),
        name="wallet-overdraft",
    ),
    path("wallets/<uuid:wallet_id>/freeze/", views.FreezeView.as_view(), name="wallet-freeze"),
    path(
        "wallets/<uuid:wallet_id>/unfreeze/", views.UnfreezeView.as_view(), name="wallet-unfreeze"
    ),
]
