"""Row locks of this app. Order everywhere: the user's wallets, the user, the user's other rows."""

import uuid

from fintech_core.exceptions import NotFound
from users.models import KycSubmission, User


def lock_user(user_id: uuid.UUID) -> User:
    """The user's row, locked for this transaction; foreign keys to it may still be inserted."""
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise NotFound
    return user


def lock_submission(submission_id: uuid.UUID) -> KycSubmission:
    """The submission's row; its user is locked before."""
    return KycSubmission.objects.select_for_update(no_key=True).get(pk=submission_id)
