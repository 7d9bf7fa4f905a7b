"""Access and refresh tokens: signed claims that point at a sign-in session.

A token proves nothing by itself: the session and the user's ``token_version`` are read on every
use, so signing out, deactivation and a password change end tokens at once.
"""

import functools
import hashlib
import time
import uuid
from dataclasses import dataclass
from datetime import datetime

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from users.errors import InvalidToken
from users.models import LoginSession, User

# Ours have about 400 characters; anything much longer is not worth decoding.
MAX_TOKEN_LENGTH = 2_048

_SESSION_CLAIM = "sid"
_VERSION_CLAIM = "ver"


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a sign-in or a refresh hands out."""

    access: str
    refresh: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    user_id: uuid.UUID
    session_id: uuid.UUID
    token_version: int
    token_hash: str
    expires_at: int


def new_token_id() -> str:
    """A fresh, unguessable ``jti`` of 122 random bits."""
    return uuid.uuid4().hex


def hash_token_id(token_id: str) -> str:
    """How a refresh token is remembered."""
    return hashlib.sha256(token_id.encode()).hexdigest()


def issue_tokens(*, session: LoginSession, user: User, token_id: str) -> TokenPair:
    """A pair for the session; neither token outlives it."""
    access = _claim(AccessToken(), session, user)
    refresh = _claim(RefreshToken(), session, user)
    refresh[api_settings.JTI_CLAIM] = token_id
    refresh["exp"] = _epoch(session.expires_at)
    access["exp"] = min(access["exp"], _epoch(session.expires_at))
    return TokenPair(access=str(access), refresh=str(refresh))


def read_access_token(raw: str) -> Claims:
    """The claims of a good access token; raises ``InvalidToken``.

    A client sends the same token with every request: what verified once is remembered, and only its
    expiry is judged again. Whether its session lives is not this module's to say.
    """
    claims = _read_known_access_token(raw)
    if claims.expires_at <= time.time():
        raise InvalidToken
    return claims


@functools.lru_cache(maxsize=8_192)
def _read_known_access_token(raw: str) -> Claims:
    return _read(raw, AccessToken)


def read_refresh_token(raw: str) -> Claims:
    """The claims of a good refresh token; raises ``InvalidToken``."""
    return _read(raw, RefreshToken)


def _claim(token: Token, session: LoginSession, user: User) -> Token:
    token[api_settings.USER_ID_CLAIM] = str(user.pk)
    token[_SESSION_CLAIM] = str(session.pk)
    token[_VERSION_CLAIM] = user.token_version
    return token


def _read(raw: str, kind: type[Token]) -> Claims:
    if len(raw) > MAX_TOKEN_LENGTH:
        raise InvalidToken
    try:
        token = kind(raw)  # type: ignore[arg-type]  # the stub says Token; a string is what is decoded
        return Claims(
            user_id=uuid.UUID(token[api_settings.USER_ID_CLAIM]),
            session_id=uuid.UUID(token[_SESSION_CLAIM]),
            token_version=_version(token[_VERSION_CLAIM]),
            token_hash=hash_token_id(token[api_settings.JTI_CLAIM]),
            expires_at=int(token["exp"]),
        )
    except (TokenError, LookupError, ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidToken from None


def _version(claim: object) -> int:
    """A version that a column could hold; signed or not, a claim is not trusted to fit."""
    version = int(str(claim))
    if not 0 <= version < 2**31:
        raise ValueError("no version is that large")
    return version


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())
