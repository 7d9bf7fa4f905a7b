"""How a request proves who sent it: ``Authorization: Bearer <access token>`` and nothing else."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from users.errors import InvalidToken
from users.models import User
from users.selectors import get_user_of_session
from users.tokens import MAX_TOKEN_LENGTH, Claims, read_access_token

CHALLENGE = 'Bearer realm="api"'


class SessionTokenAuthentication(BaseAuthentication):
    """Reads the user in one query, on condition that the account and the session are live now.

    A token is never taken from the URL, a cookie or the body.
    """

    def authenticate(self, request: Request) -> tuple[User, Claims] | None:
        claims = claims_of(request.META.get("HTTP_AUTHORIZATION", ""))
        if claims is None:
            return None
        user = get_user_of_session(
            user_id=claims.user_id,
            session_id=claims.session_id,
            token_version=claims.token_version,
        )
        if user is None:
            raise AuthenticationFailed
        return user, claims

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def claims_of(header: str) -> Claims | None:
    """What the token in an ``Authorization`` header says; None where there is none.

    Raises ``AuthenticationFailed``. Whether its session lives is still to be asked.
    """
    scheme, _, raw = header.partition(" ")
    if scheme.lower() != "bearer":
        return None
    if not raw or len(raw) > MAX_TOKEN_LENGTH or not raw.isascii():
        raise AuthenticationFailed
    try:
        return read_access_token(raw)
    except InvalidToken:
        raise AuthenticationFailed from None


def caller_of(request: Request) -> User:
    """The user behind a request that passed authentication."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user
