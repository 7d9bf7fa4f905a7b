"""Routes under ``/api/transactions/``; the doubled word is the contract's."""

from django.urls import path

from transactions import views

urlpatterns = [
    path("transactions/", views.TransactionListView.as_view(), name="transaction-list"),
    path("transactions/transfer/", views.TransferView.as_view(), name="transfer"),
    path("transactions/quote/", views.QuoteView.as_view(), name="quote"),
    path("transactions/convert/", views.ConversionView.as_view(), name="convert"),
    path("fees/", views.FeeView.as_view(), name="fees"),
    path(
        "transactions/<uuid:transaction_id>/",
        views.TransactionView.as_view(),
        name="transaction-detail",
    ),
]
