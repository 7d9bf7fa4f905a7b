"""Routes under ``/api/transactions/``; the doubled word is the contract's."""

from django.urls import path

from transactions import views

urlpatterns = [
    path("transactions/", views.TransactionListView.as_view(), name="transaction-list"),
    path("transactions/transfer/", views.TransferView.as_view(), name="transfer"),
    path("transactions/batch/", views.BatchView.as_view(), name="transfer-batch"),
    path(
        "transactions/<uuid:transaction_id>/",
        views.TransactionView.as_view(),
        name="transaction-detail",
    ),
]
