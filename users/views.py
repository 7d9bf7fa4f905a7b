"""HTTP in front of the services: who asks, what is asked, what is answered."""

import uuid
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import page_of, paginate
from users import selectors, serializers, services
from users.authentication import CHALLENGE, caller_of
from users.documents import MAX_FILE_BYTES
from users.models import User
from users.network import network_of
from users.parsers import StrictFormParser

_NO_CONTENT = OpenApiResponse(description="Done.")


class PublicView(APIView):
    """For callers who have no access token yet; one that is sent along is not looked at."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = CHALLENGE  # RFC 9110, 15.5.2
        return response


class RegisterView(PublicView):
    """Opens an account with its wallet."""

    @extend_schema(
        operation_id="auth_register",
        tags=["auth"],
        auth=[],
        request=serializers.RegistrationSerializer,
        responses={201: serializers.UserSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        form = serializers.RegistrationSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user = services.register(network=network_of(request), **form.validated_data)
        return Response(serializers.UserSerializer(user).data, status=201)


class LoginView(PublicView):
    """Trades an email address and a password for tokens."""

    @extend_schema(
        operation_id="auth_login",
        tags=["auth"],
        auth=[],
        request=serializers.SignInSerializer,
        responses={200: serializers.SignedInSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        form = serializers.SignInSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user, pair = services.sign_in(network=network_of(request), **form.validated_data)
        answer = {"access": pair.access, "refresh": pair.refresh, "user": user}
        return Response(serializers.SignedInSerializer(answer).data)


class RefreshView(PublicView):
    """Trades a refresh token, once, for a new pair."""

    @extend_schema(
        operation_id="auth_refresh",
        tags=["auth"],
        auth=[],
        request=serializers.RefreshSerializer,
        responses={200: serializers.TokenPairSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        form = serializers.RefreshSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        pair = services.refresh_session(refresh=form.validated_data["refresh"])
        return Response(serializers.TokenPairSerializer(pair).data)


class LogoutView(PublicView):
    """Ends the session of a refresh token, its access tokens included."""

    @extend_schema(
        operation_id="auth_logout",
        tags=["auth"],
        auth=[],
        request=serializers.RefreshSerializer,
        responses={204: _NO_CONTENT, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        form = serializers.RefreshSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.sign_out(refresh=form.validated_data["refresh"])
        return Response(status=204)


class MeView(APIView):
    """The caller's own account."""

    @extend_schema(
        operation_id="users_me",
        tags=["users"],
        responses={200: serializers.UserSerializer, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        return Response(serializers.UserSerializer(caller_of(request)).data)

    @extend_schema(
        operation_id="users_me_update",
        tags=["users"],
        request=serializers.ProfileSerializer,
        responses={200: serializers.UserSerializer, **PROBLEMS},
    )
    def patch(self, request: Request) -> Response:
        form = serializers.ProfileSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user = services.update_profile(user=caller_of(request), changes=form.validated_data)
        return Response(serializers.UserSerializer(user).data)


class MyKycView(APIView):
    """The caller's identity check."""

    parser_classes = (StrictFormParser,)
    # Two pictures and the text fields around them.
    max_body_bytes = 2 * MAX_FILE_BYTES + 1024 * 1024

    @extend_schema(
        operation_id="users_me_kyc",
        tags=["kyc"],
        responses={200: serializers.MyKycSerializer, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        return Response(_my_kyc(caller_of(request)))

    @extend_schema(
        operation_id="users_me_kyc_submit",
        tags=["kyc"],
        request={"multipart/form-data": serializers.SubmissionSerializer},
        responses={201: serializers.MyKycSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        form = serializers.SubmissionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        fields = dict(form.validated_data)
        document = services.Document(
            front=fields.pop("document_front"), back=fields.pop("document_back", None)
        )
        submission = services.submit_kyc(
            user=caller_of(request), identity=services.Identity(**fields), document=document
        )
        return Response(_my_kyc(submission.user), status=201)


def _my_kyc(user: User) -> dict[str, Any]:
    latest = selectors.get_latest_submission(user)
    return {
        **serializers.KycStandingSerializer(user).data,
        "submission": serializers.SubmittedSerializer(latest).data if latest else None,
    }


class MayDecideKyc(BasePermission):
    """Staff who hold ``users.decide_kyc``."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        return bool(user and user.is_staff and user.has_perm("users.decide_kyc"))


class StaffKycView(APIView):
    """Submissions, for those who decide on them."""

    permission_classes = (IsAuthenticated, MayDecideKyc)


class SubmissionListView(StaffKycView):
    @extend_schema(
        operation_id="users_kyc_list",
        tags=["kyc"],
        parameters=[serializers.SubmissionQuerySerializer],
        responses={
            200: page_of(serializers.StaffSubmissionSerializer, "KycSubmissionPage"),
            **PROBLEMS,
        },
    )
    def get(self, request: Request) -> Response:
        form = serializers.SubmissionQuerySerializer(data=request.query_params)
        form.is_valid(raise_exception=True)
        query = form.validated_data
        return paginate(
            selectors.list_submissions(status=query.get("status")),
            request,
            query=query,
            represent=lambda rows: list(
                serializers.StaffSubmissionSerializer(rows, many=True).data
            ),
        )


class SubmissionView(StaffKycView):
    @extend_schema(
        operation_id="users_kyc_retrieve",
        tags=["kyc"],
        responses={200: serializers.StaffSubmissionSerializer, **PROBLEMS},
    )
    def get(self, request: Request, submission_id: uuid.UUID) -> Response:
        submission = selectors.get_submission(submission_id)
        return Response(serializers.StaffSubmissionSerializer(submission).data)


class ApproveView(StaffKycView):
    @extend_schema(
        operation_id="users_kyc_approve",
        tags=["kyc"],
        request=serializers.ApprovalSerializer,
        responses={
            200: serializers.StaffSubmissionSerializer,
            **PROBLEMS,
        },
    )
    def post(self, request: Request, submission_id: uuid.UUID) -> Response:
        form = serializers.ApprovalSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        submission = services.approve_kyc(
            submission_id=submission_id,
            acting_user=caller_of(request),
            tier=form.validated_data["tier"],
        )
        return Response(serializers.StaffSubmissionSerializer(submission).data)


class RejectView(StaffKycView):
    @extend_schema(
        operation_id="users_kyc_reject",
        tags=["kyc"],
        request=serializers.RejectionSerializer,
        responses={
            200: serializers.StaffSubmissionSerializer,
            **PROBLEMS,
        },
    )
    def post(self, request: Request, submission_id: uuid.UUID) -> Response:
        form = serializers.RejectionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        submission = services.reject_kyc(
            submission_id=submission_id,
            acting_user=caller_of(request),
            reason=form.validated_data["reason"],
        )
        return Response(serializers.StaffSubmissionSerializer(submission).data)
