"""Routes below /api/webhooks/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
