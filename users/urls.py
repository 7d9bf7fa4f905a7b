"""Routes under ``/api/``."""

from django.urls import path

from users import views

urlpatterns = [
    path("auth/register/", views.RegisterView.as_view(), name="auth-register"),
    path("auth/login/", views.LoginView.as_view(), name="auth-login"),
    path("auth/refresh/", views.RefreshView.as_view(), name="auth-refresh"),
    path("auth/logout/", views.LogoutView.as_view(), name="auth-logout"),
    path("users/me/", views.MeView.as_view(), name="users-me"),
    path("users/me/kyc/", views.MyKycView.as_view(), name="users-me-kyc"),
    path("users/kyc/", views.SubmissionListView.as_view(), name="users-kyc"),
    path("users/kyc/<uuid:submission_id>/", views.SubmissionView.as_view(), name="users-kyc-one"),
    path(
        "users/kyc/<uuid:submission_id>/approve/",
        views.ApproveView.as_view(),
        name="users-kyc-approve",
    ),
    path(
        "users/kyc/<uuid:submission_id>/reject/",
        views.RejectView.as_view(),
        name="users-kyc-reject",
    ),
]
