"""Routes below ``/api/payments/``."""

from django.urls import path

from payments import views
from payments.views.intake import WebhookIntakeView

urlpatterns = [
    path("intents/", views.IntentListView.as_view(), name="intent-list"),
    path("intents/<uuid:intent_id>/", views.IntentView.as_view(), name="intent-detail"),
    path(
        "intents/<uuid:intent_id>/confirm/",
        views.IntentConfirmView.as_view(),
        name="intent-confirm",
    ),
    path(
        "intents/<uuid:intent_id>/cancel/", views.IntentCancelView.as_view(), name="intent-cancel"
    ),
    path(
        "intents/<uuid:intent_id>/refresh/",
        views.IntentRefreshView.as_view(),
        name="intent-refresh",
    ),
    path(
        "intents/<uuid:intent_id>/simulate/",
        views.IntentSimulateView.as_view(),
        name="intent-simulate",
    ),
    path("intents/<uuid:intent_id>/refund/", views.RefundView.as_view(), name="intent-refund"),
    path("payouts/", views.PayoutListView.as_view(), name="payout-list"),
    path("payouts/<uuid:payout_id>/", views.PayoutView.as_view(), name="payout-detail"),
    path(
        "payouts/<uuid:payout_id>/cancel/", views.PayoutCancelView.as_view(), name="payout-cancel"
    ),
    path("webhooks/<str:provider>/", WebhookIntakeView.as_view(), name="payments-webhook"),
]
