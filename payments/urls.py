"""Routes below /api/payments/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
