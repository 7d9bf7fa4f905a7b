"""Routes below /api/webhooks/."""

from django.urls import path

from webhooks import views

urlpatterns = [
    path("endpoints/", views.EndpointListView.as_view()),
    path("endpoints/<uuid:endpoint_id>/", views.EndpointView.as_view()),
    path("endpoints/<uuid:endpoint_id>/rotate-secret/", views.RotateSecretView.as_view()),
    path("endpoints/<uuid:endpoint_id>/redeliver/", views.EndpointRedeliverView.as_view()),
    path("deliveries/", views.DeliveryListView.as_view()),
    path("deliveries/<uuid:delivery_id>/", views.DeliveryView.as_view()),
    path("deliveries/<uuid:delivery_id>/redeliver/", views.RedeliverView.as_view()),
]
