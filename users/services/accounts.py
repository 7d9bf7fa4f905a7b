"""Accounts: opening, changing, closing the door and opening it again."""

import logging
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from events.services import record_audit
from fintech_core.database import exactly_once
from fintech_core.exceptions import InvalidInput
from fintech_core.sqlstates import constraint_of
from users.attempts import count_attempt
from users.errors import OwnAccount, PhoneMissing, PhoneTaken, invalid_field
from users.identity import IdentityError, normalize_email, normalize_phone
from users.locks import lock_user
from users.models import User
from users.services.authentication import end_sessions
from users.signals import standing_will_change

logger = logging.getLogger("users.security")

Problems = dict[str, list[tuple[str, str]]]

_EMAIL_TAKEN = ("email_taken", "An account with this email address exists already.")


def register(
    *,
    email: str,
    password: str,
    network: str,
    first_name: str = "",
    last_name: str = "",
    phone: str | None = None,
) -> User:
    """Open an account for whoever asks; its wallet is made in the same transaction.

    Raises ``InvalidInput`` with a code on each field, and ``TooManyRequests`` when the network has
    opened, or asked after, too many accounts in an hour.
    """
    fields, problems = _checked(email=email, phone=phone)
    fields |= {"first_name": first_name, "last_name": last_name}
    problems |= _password_problems(password, User(**fields))
    if problems.keys() & {"email", "phone"}:
        _refuse(problems)
    # From here on the answer may tell that an address is taken, so asking is counted.
    count_attempt(
        scope="register",
        subject=network,
        window=timedelta(hours=1),
        limit=settings.REGISTRATIONS_PER_HOUR,
    )
    if User.objects.filter(email=fields["email"]).exists():
        problems["email"] = [_EMAIL_TAKEN]
    if problems:
        _refuse(problems)
    user = _insert(password=password, actor_id=None, **fields)
    logger.info("registered", extra={"user_id": str(user.pk), "network": network})
    return user


def create_account(*, email: str, password: str, acting_user: User) -> User:
    """Open an account on an operator's word; raises ``InvalidInput`` and ``PermissionDenied``."""
    _require(acting_user, "users.add_user")
    fields, problems = _checked(email=email, phone=None)
    problems |= _password_problems(password, User(**fields))
    if problems:
        _refuse(problems)
    return _insert(password=password, actor_id=acting_user.pk, **fields)


def _checked(*, email: str, phone: str | None) -> tuple[dict[str, str], Problems]:
    """The canonical address and number, and what is wrong with them."""
    fields: dict[str, str] = {}
    problems: Problems = {}
    try:
        fields["email"] = normalize_email(email)
    except IdentityError as error:
        problems["email"] = [(error.code, str(error))]
    try:
        fields["phone"] = normalize_phone(phone) if phone else ""
    except IdentityError as error:
        problems["phone"] = [(error.code, str(error))]
    return fields, problems


def _password_problems(password: str, user: User) -> Problems:
    if len(password) > settings.PASSWORD_MAX_LENGTH:
        text = f"The password may have {settings.PASSWORD_MAX_LENGTH} characters at most."
        return {"password": [("password_too_long", text)]}
    try:
        validate_password(password, user)
    except ValidationError as error:
        return {
            "password": [(item.code or "invalid", item.messages[0]) for item in error.error_list]
        }
    return {}


def _refuse(problems: Problems) -> None:
    raise InvalidInput(
        {field: [text for _, text in found] for field, found in problems.items()},
        {field: [code for code, _ in found] for field, found in problems.items()},
    )


def _insert(*, password: str, actor_id: uuid.UUID | None, **fields: Any) -> User:
    """The hash is made before the transaction; the unique index decides between twins.

    The admin's page has a transaction of its own, which this joins.
    """
    user = User(password=make_password(password), **fields)
    try:
        with transaction.atomic(durable=actor_id is None):
            user.save(force_insert=True)
            record_audit(
                action="user.registered",
                subject_type="user",
                subject_id=user.pk,
                actor_id=actor_id or user.pk,
            )
    except IntegrityError as error:
        if constraint_of(error) != "email_is_unique":
            raise
        _refuse({"email": [_EMAIL_TAKEN]})
    return user


def update_profile(*, user: User, changes: dict[str, Any]) -> User:
    """Change names and phone of the user; a new number is unverified until it is proved.

    ``changes`` may hold ``first_name``, ``last_name`` and ``phone`` (None or empty takes it away).
    Raises ``InvalidInput`` for a number that is none.
    """
    unknown = changes.keys() - {"first_name", "last_name", "phone"}
    if unknown:
        raise ValueError(f"not part of a profile: {sorted(unknown)}")
    values = dict(changes)
    if "phone" in values:
        try:
            values["phone"] = normalize_phone(values["phone"]) if values["phone"] else ""
        except IdentityError as error:
            raise invalid_field("phone", error) from None
    with transaction.atomic(durable=True):
        locked = lock_user(user.pk)
        changed = [name for name, value in values.items() if getattr(locked, name) != value]
        if not changed:
            return locked
        for name in changed:
            setattr(locked, name, values[name])
        written = list(changed)
        if "phone" in changed:
            locked.phone_verified_at = None
            written.append("phone_verified_at")
        locked.save(update_fields=written)
        # Which fields, not their content: the trail outlives what a person may have deleted.
        _audit("user.profile_changed", locked, user, after={"changed": sorted(changed)})
    return locked


def verify_phone(*, user_id: uuid.UUID, acting_user: User) -> None:
    """Note that the user's number is proved to be theirs; only one account may have it so.

    Raises ``PhoneMissing``, ``PhoneTaken``, ``NotFound`` and ``PermissionDenied``.
    """
    _require(acting_user, "users.change_user")
    try:
        with transaction.atomic(durable=True):
            user = lock_user(user_id)
            if not user.phone:
                raise PhoneMissing
            if user.phone_verified_at:
                return
            user.phone_verified_at = timezone.now()
            user.save(update_fields=["phone_verified_at"])
            _audit("user.phone_verified", user, acting_user)
    except IntegrityError as error:
        if constraint_of(error) != "verified_phone_is_unique":
            raise
        raise PhoneTaken from None


def deactivate_user(*, user_id: uuid.UUID, acting_user: User, reason: str = "") -> None:
    """Shut the account: its tokens end at once and nothing more is sent from it; again is no error.

    Raises ``NotFound``, ``OwnAccount`` and ``PermissionDenied``.
    """
    _set_active(user_id, acting_user, active=False, reason=reason)


def activate_user(*, user_id: uuid.UUID, acting_user: User, reason: str = "") -> None:
    """Open a shut account again; its old tokens stay dead. Raises as ``deactivate_user``."""
    _set_active(user_id, acting_user, active=True, reason=reason)


def _set_active(user_id: uuid.UUID, acting_user: User, *, active: bool, reason: str) -> None:
    _require(acting_user, "users.change_user")
    if acting_user.pk == user_id:
        raise OwnAccount

    def work() -> None:
        standing_will_change.send(sender=User, user_id=user_id)
        user = lock_user(user_id)
        _require_rank(acting_user, user)
        if user.is_active == active:
            return
        user.is_active = active
        user.token_version += 0 if active else 1
        user.save(update_fields=["is_active", "token_version"])
        if not active:
            end_sessions(user_id=user_id, reason="deactivated")
        _audit(
            "user.activated" if active else "user.deactivated",
            user,
            acting_user,
            before={"is_active": not active},
            after={"is_active": active},
            reason=reason,
        )

    exactly_once(work)


def end_all_tokens(*, user_id: uuid.UUID, acting_user: User) -> None:
    """Sign the user out everywhere, browsers too; raises ``NotFound``, ``PermissionDenied``."""
    if acting_user.pk != user_id:
        _require(acting_user, "users.change_user")
    with transaction.atomic(durable=True):
        user = lock_user(user_id)
        _require_rank(acting_user, user)
        user.token_version += 1
        user.save(update_fields=["token_version"])
        end_sessions(user_id=user_id, reason="ended_by_operator")
        _audit("user.tokens_ended", user, acting_user)


def _require(acting_user: User, permission: str) -> None:
    if not acting_user.has_perm(permission):
        raise PermissionDenied


def _require_rank(acting_user: User, user: User) -> None:
    """Only a superuser decides over a superuser."""
    if user.is_superuser and not acting_user.is_superuser:
        raise PermissionDenied


def _audit(action: str, user: User, acting_user: User, **rest: Any) -> None:
    record_audit(
        action=action, subject_type="user", subject_id=user.pk, actor_id=acting_user.pk, **rest
    )
