"""Signing in, staying signed in, signing out."""

import functools
import logging
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.hashers import check_password, is_password_usable, make_password
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Least
from django.utils import timezone

from users.attempts import count_failures
from users.errors import InvalidCredentials, InvalidToken, TokenReused
from users.models import AttemptCounter, LoginSession, User
from users.tokens import (
    Claims,
    TokenPair,
    hash_token_id,
    issue_tokens,
    new_token_id,
    read_refresh_token,
)

logger = logging.getLogger("users.security")

REUSED = "token_reused"
SIGNED_OUT = "signed_out"

# No counter has a longer window than a day.
_COUNTERS_KEPT = timedelta(days=2)


def sign_in(*, email: str, password: str, network: str) -> tuple[User, TokenPair]:
    """Open a session for the account with this canonical address; returns it with its first tokens.

    Refuses a wrong password, an unknown address and an inactive account alike with
    ``InvalidCredentials``, in the same time; ``TooManyRequests`` after too many failures.
    """
    user = check_credentials(email=email, password=password, network=network)
    if user is None:
        raise InvalidCredentials
    return user, open_session(user=user, network=network)


def open_session(*, user: User, network: str = "") -> TokenPair:
    """The first tokens of a new session, for a user whose identity is proved."""
    now = timezone.now()
    token_id = new_token_id()
    session = LoginSession.objects.create(
        user=user,
        current_token=hash_token_id(token_id),
        network=network,
        created_at=now,
        last_used_at=now,
        expires_at=now + min(settings.SESSION_IDLE_LIFETIME, settings.SESSION_ABSOLUTE_LIFETIME),
    )
    logger.info("signed_in", extra=_facts(user.pk, network, session.pk))
    return issue_tokens(session=session, user=user, token_id=token_id)


def check_credentials(*, email: str, password: str, network: str) -> User | None:
    """The active user with this canonical address and password, or None; failures are counted.

    Always one verification of one argon2 hash, so the time tells nothing. Raises
    ``TooManyRequests``.
    """
    subjects = {
        "sign_in.account_and_network": f"{email} {network}",
        "sign_in.account": email,
        "sign_in.network": network,
    }
    limits = {f"sign_in.{scope}": limit for scope, limit in settings.SIGN_IN_FAILURES.items()}
    with count_failures(
        subjects=subjects, limits=limits, window=settings.SIGN_IN_WINDOW
    ) as verdict:
        user, reason = _verify(email, password)
        if reason is None:
            verdict.succeed()
            return user
    extra = _facts(user.pk if user else None, network, None)
    logger.warning("sign_in_refused", extra={**extra, "reason": reason})
    return None


def _verify(email: str, password: str) -> tuple[User | None, str | None]:
    """The account of the address, and why it may not sign in."""
    stand_in = _hash_of_nothing()
    user = User.objects.filter(email=email).first()
    if user is None or not is_password_usable(user.password):
        check_password(password, stand_in)
        return user, "unknown_account" if user is None else "no_password"
    if not check_password(password, user.password, setter=functools.partial(_rehash, user)):
        return user, "wrong_password"
    return user, None if user.is_active else "inactive_account"


def _rehash(user: User, password: str) -> None:
    """Bring the stored hash up to the current cost; called for a right password alone."""
    User.objects.filter(pk=user.pk, password=user.password).update(password=make_password(password))


@functools.cache
def _hash_of_nothing() -> str:
    """A hash at the current cost that no password matches in practice; made once per process."""
    return make_password(uuid.uuid4().hex)


def refresh_session(*, refresh: str) -> TokenPair:
    """Trade the session's newest refresh token for a new pair; the old token is used up.

    However many requests bring the same token at once, one gets a pair. Any other token of the
    session was used before: that ends the session and raises ``TokenReused``. ``InvalidToken`` for
    all else.
    """
    claims = read_refresh_token(refresh)
    pair = _rotate(claims)
    if pair is None:
        raise _end_if_reused(claims)
    return pair


def _rotate(claims: Claims) -> TokenPair | None:
    """A fresh pair, or None where the token is not the newest of a live session.

    The claim is one conditional UPDATE without joins, which PostgreSQL judges again under the row
    lock: with a subquery in it, a second request would still see the state before the first.
    """
    now = timezone.now()
    token_id = new_token_id()
    with transaction.atomic(durable=True):
        claimed = LoginSession.objects.filter(
            pk=claims.session_id,
            current_token=claims.token_hash,
            revoked_at__isnull=True,
            expires_at__gt=now,
        ).update(
            current_token=hash_token_id(token_id), last_used_at=now, expires_at=_moved_expiry(now)
        )
        if not claimed:
            return None
        session = LoginSession.objects.select_related("user").get(pk=claims.session_id)
        user = session.user
        live = user.is_active and user.token_version == claims.token_version
        if not live or user.pk != claims.user_id:
            transaction.set_rollback(True)
            return None
    return issue_tokens(session=session, user=user, token_id=token_id)


def _moved_expiry(now: datetime) -> Least:
    return Least(
        Value(now + settings.SESSION_IDLE_LIFETIME),
        F("created_at") + Value(settings.SESSION_ABSOLUTE_LIFETIME),
    )


def _end_if_reused(claims: Claims) -> InvalidToken | TokenReused:
    """Why the token was not accepted; ends the session of one that was used before."""
    older = LoginSession.objects.filter(
        pk=claims.session_id, user_id=claims.user_id, expires_at__gt=timezone.now()
    ).exclude(current_token=claims.token_hash)
    if older.filter(revoked_at__isnull=True).update(
        revoked_at=timezone.now(), revoked_reason=REUSED
    ):
        extra = {"user_id": str(claims.user_id), "session_id": str(claims.session_id)}
        logger.warning("refresh_token_reused", extra=extra)
        return TokenReused()
    return TokenReused() if older.filter(revoked_reason=REUSED).exists() else InvalidToken()


def sign_out(*, refresh: str) -> None:
    """End the session of this refresh token; again is no error. Raises ``InvalidToken``."""
    claims = read_refresh_token(refresh)
    session = LoginSession.objects.filter(pk=claims.session_id, user_id=claims.user_id)
    ended = session.filter(revoked_at__isnull=True).update(
        revoked_at=timezone.now(), revoked_reason=SIGNED_OUT
    )
    if ended:
        extra = {"user_id": str(claims.user_id), "session_id": str(claims.session_id)}
        logger.info("signed_out", extra=extra)
    elif not session.exists():
        raise InvalidToken


def end_sessions(*, user_id: uuid.UUID, reason: str) -> int:
    """End every session of the user, in the caller's transaction; returns how many were live."""
    return LoginSession.objects.filter(user_id=user_id, revoked_at__isnull=True).update(
        revoked_at=timezone.now(), revoked_reason=reason
    )


def prune_sessions() -> int:
    """Forget sessions none of whose tokens can be good any more, and counters long past."""
    now = timezone.now()
    sessions, _ = LoginSession.objects.filter(expires_at__lt=now - timedelta(days=1)).delete()
    counters, _ = AttemptCounter.objects.filter(window_start__lt=now - _COUNTERS_KEPT).delete()
    return sessions + counters


def _facts(
    user_id: uuid.UUID | None, network: str, session_id: uuid.UUID | None
) -> dict[str, str | None]:
    return {
        "user_id": str(user_id) if user_id else None,
        "session_id": str(session_id) if session_id else None,
        "network": network,
    }
