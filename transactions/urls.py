"""Routes under ``/api/transactions/``; the doubled word is the contract's."""

from django.urls import path

from transactions import views

urlpatterns = [
    path("transactions/", views.TransactionListView.as_view(), name="transaction-list"),
    path("transactions/transfer/", views.TransferView.as_view(), name="transfer"),
    path("transactions/batch/", views.BatchView.as_view(), name="transfer-batch"),
    path("transactions/schedules/", views.ScheduleListView.as_view(), name="schedule-list"),
    path(
        "transactions/schedules/<uuid:schedule_id>/",
        views.ScheduleView.as_view(),
        name="schedule-detail",
    ),
    path(
        "transactions/holds/capture/", views.GroupCaptureView.as_view(), name="hold-group-capture"
    ),
    path("transactions/holds/void/", views.GroupVoidView.as_view(), name="hold-group-void"),
    path(
        "transactions/<uuid:transaction_id>/capture/", views.CaptureView.as_view(), name="capture"
    ),
    path("transactions/<uuid:transaction_id>/void/", views.VoidView.as_view(), name="void"),
    path(
        "transactions/<uuid:transaction_id>/reverse/", views.ReverseView.as_view(), name="reverse"
    ),
    path("transactions/quote/", views.QuoteView.as_view(), name="quote"),
    path("transactions/convert/", views.ConversionView.as_view(), name="convert"),
    path("fees/", views.FeeView.as_view(), name="fees"),
    path(
        "transactions/<uuid:transaction_id>/",
        views.TransactionView.as_view(),
        name="transaction-detail",
    ),
]
