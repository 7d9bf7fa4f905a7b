"""The map of all routes; the only module that sees every app."""

from django.contrib import admin
from django.urls import include, path

from fintech_core import views

urlpatterns = [
    # Until the web wallet is there, a visitor is shown what the service can do.
    path("", views.HomeView.as_view(), name="home"),
    path("api/health/", views.HealthView.as_view(), name="health"),
    path("api/health/live/", views.LiveView.as_view(), name="health-live"),
    path("api/health/ready/", views.ReadyView.as_view(), name="health-ready"),
    path("api/", include("users.urls")),
    path("api/wallet/", include("wallet.urls")),
    path("api/wallet/", include("transactions.wallet_urls")),
    path("api/transactions/", include("transactions.urls")),
    path("api/payments/", include("payments.urls")),
    path("api/webhooks/", include("webhooks.urls")),
    path("api/schema/", views.SchemaView.as_view(), name="schema"),
    path("api/docs/", views.DocsView.as_view(url_name="schema"), name="docs"),
    path("admin/", admin.site.urls),
]

handler400 = views.bad_request
handler403 = views.permission_denied
handler404 = views.page_not_found
handler500 = views.server_error
