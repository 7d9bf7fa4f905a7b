"""Routes below /api/payments/."""

from django.urls import path

from payments.views.intake import WebhookIntakeView

urlpatterns = [
    path("webhooks/<str:provider>/", WebhookIntakeView.as_view(), name="payments-webhook"),
]
