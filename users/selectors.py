"""Reads of this app."""

import functools
import uuid
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from fintech_core.binary import int8_array, text_array, uuid_array
from fintech_core.calls import call
from fintech_core.exceptions import NotFound
from users.attempts import Quota
from users.models import KycSubmission, User

# The columns of the SQL function ``live_user``, in its order; any other is read when asked for.
_LIVE_USER = (
    *("id", "email", "email_verified_at", "phone", "phone_verified_at", "first_name", "last_name"),
    *("is_active", "is_staff", "is_superuser", "token_version", "kyc_status", "kyc_tier"),
    *("kyc_reason", "kyc_expires_at", "created_at"),
)


def get_user_of_session(
    *, user_id: uuid.UUID, session_id: uuid.UUID, token_version: int
) -> User | None:
    """The user while they are active and the session lives; one query on two primary keys."""
    rows = call("live_user", user_id, session_id, token_version)
    if not rows:
        return None
    names, in_order = _live_user_fields()
    return User.from_db("default", names, in_order(rows[0]))


def are_sessions_live(
    asked: Sequence[tuple[uuid.UUID, uuid.UUID, int]], *, within: Quota
) -> list[bool]:
    """Whether ``get_user_of_session`` would find a user, whose attempts ``within`` the quota are not used
    up, for each of these, in one query."""
    if not asked:
        return []
    users, sessions, versions = zip(*asked, strict=True)
    found = call(
        "live_sessions",
        uuid_array(users),
        uuid_array(sessions),
        int8_array(versions),
        text_array(within.subject(str(user)) for user in users),
        within.scope,
        within.limit,
        within.window.total_seconds(),
    )
    places = {place for (place,) in found}
    return [place in places for place in range(1, len(asked) + 1)]


@functools.cache
def _live_user_fields() -> tuple[list[str], Callable[[tuple[Any, ...]], tuple[Any, ...]]]:
    """The names of these columns as the model orders its fields, and what puts a row into that order."""
    names = [field.attname for field in User._meta.concrete_fields if field.attname in _LIVE_USER]
    return names, itemgetter(*(_LIVE_USER.index(name) for name in names))


def get_limits(user: User) -> dict[str, Any]:
    """What the user may move and hold; an app above this one knows, named by ``PROFILE_LIMITS``."""
    path = getattr(settings, "PROFILE_LIMITS", "")
    limits: dict[str, Any] = import_string(path)(user) if path else {}
    return limits


def get_latest_submission(user: User) -> KycSubmission | None:
    """The submission that counts now."""
    return KycSubmission.objects.filter(user=user).order_by("-id").first()


def list_submissions(*, status: str | None = None) -> QuerySet[KycSubmission]:
    """All submissions, with their users, for those who decide."""
    submissions = KycSubmission.objects.select_related("user")
    return submissions.filter(status=status) if status else submissions


def get_submission(submission_id: uuid.UUID) -> KycSubmission:
    """One submission; raises ``NotFound``."""
    submission = list_submissions().filter(pk=submission_id).first()
    if submission is None:
        raise NotFound
    return submission
