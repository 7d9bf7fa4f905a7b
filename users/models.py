"""Who: accounts, their sign-in sessions and their identity checks (KYC)."""

import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models, transaction
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from fintech_core.fields import uuid7
from users.storage import document_name, document_storage


class KycStatus(models.TextChoices):
    """Where somebody's identity check stands.

    ``not_submitted → pending → approved | rejected``, ``rejected → pending``,
    ``approved → expired``, ``expired → pending``.
    """

    NOT_SUBMITTED = "not_submitted"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


class UserManager(BaseUserManager["User"]):
    """Creates accounts for ``createsuperuser`` and tests; people register through the service."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        from users.identity import normalize_email

        user = self.model(email=normalize_email(email), **fields)
        user.set_password(password)
        with transaction.atomic(
            using=self._db
        ):  # The wallet is made by a signal, or there is no user.
            user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """The account with this address in whatever case; used by the admin's sign-in."""
        from users.identity import InvalidEmail, normalize_email

        try:
            return self.get(email=normalize_email(username or ""))
        except InvalidEmail:
            raise self.model.DoesNotExist from None


class User(AbstractBaseUser, PermissionsMixin):
    """An account: somebody who can sign in and who owns wallets.

    ``email`` is stored in its one canonical form (``users.identity``) and unique without regard to
    case. ``phone`` is E.164 and identifies nobody before it is verified. ``token_version`` rises to
    end every token at once. ``kyc_status`` and ``kyc_tier`` say what the owner may do with money;
    only services change them, under the lock of the user's wallets.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254)
    email_verified_at = models.DateTimeField(null=True, blank=True)
    phone = models.CharField(max_length=16, blank=True)
    phone_verified_at = models.DateTimeField(null=True, blank=True)
    first_name = models.CharField(max_length=100, blank=True)
    last_name = models.CharField(max_length=100, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    token_version = models.PositiveIntegerField(default=0, editable=False)
    kyc_status = models.CharField(
        max_length=16, choices=KycStatus.choices, default=KycStatus.NOT_SUBMITTED, editable=False
    )
    kyc_tier = models.PositiveSmallIntegerField(default=0, editable=False)
    kyc_reason = models.CharField(max_length=500, blank=True, editable=False)
    kyc_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints: ClassVar = [
            # With the lower case that the next one keeps, unique without regard to case.
            models.UniqueConstraint(fields=["email"], name="email_is_unique"),
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="email_is_lower_case"
            ),
            models.UniqueConstraint(
                fields=["phone"],
                condition=models.Q(phone_verified_at__isnull=False),
                name="verified_phone_is_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(phone="") | models.Q(phone__regex=r"^\+[1-9][0-9]{6,14}$"),
                name="phone_is_e164",
            ),
            models.CheckConstraint(
                condition=models.Q(kyc_status__in=KycStatus.values, kyc_tier__range=(0, 2)),
                name="kyc_status_and_tier_are_known",
            ),
            models.CheckConstraint(
                condition=models.Q(kyc_tier=0) | models.Q(kyc_status=KycStatus.APPROVED),
                name="only_the_approved_have_a_tier",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def kyc_tier_at(self, moment: datetime.datetime) -> int:
        """The tier in force: an approval that has run out counts no more, marked as such or not."""
        has_expired = self.kyc_expires_at is not None and self.kyc_expires_at <= moment
        return 0 if has_expired else self.kyc_tier

    def get_session_auth_hash(self) -> str:
        """What a browser session is bound to: it ends with the password and with every token."""
        return salted_hmac(
            "users.User.session",
            f"{self.password}:{self.token_version}",
            algorithm="sha256",
        ).hexdigest()


class LoginSession(models.Model):
    """One sign-in and all the tokens that came of it (a family).

    Only the newest refresh token is good: ``current_token`` is the SHA-256 of its ``jti``. Each
    refresh replaces it in one conditional UPDATE. ``expires_at`` moves on with use, never past the
    absolute end counted from ``created_at``.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_sessions")
    current_token = models.CharField(max_length=64)
    network = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_reason = models.CharField(max_length=40, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(revoked_at__isnull=True, revoked_reason="")
                | (models.Q(revoked_at__isnull=False) & ~models.Q(revoked_reason="")),
                name="revoked_session_has_a_reason",
            )
        ]

    def __str__(self) -> str:
        return f"session {self.id}"


class DocumentType(models.TextChoices):
    """What proves an identity."""

    PASSPORT = "passport"
    NATIONAL_ID = "national_id"
    DRIVING_LICENCE = "driving_licence"


class SubmissionStatus(models.TextChoices):
    """``pending → approved | rejected``; a decided submission never changes."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class KycSubmission(models.Model):
    """What a user handed in to prove who they are, and what was decided on it.

    The images lie in private storage under names of our own and are served by the admin alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="kyc_submissions")
    status = models.CharField(
        max_length=16, choices=SubmissionStatus.choices, default=SubmissionStatus.PENDING
    )
    legal_name = models.CharField(max_length=200)
    date_of_birth = models.DateField()
    country = models.CharField(max_length=2)
    address = models.CharField(max_length=500)
    document_type = models.CharField(max_length=16, choices=DocumentType.choices)
    document_number = models.CharField(max_length=40)
    document_front = models.FileField(upload_to=document_name, storage=document_storage)
    document_back = models.FileField(upload_to=document_name, storage=document_storage, blank=True)
    tier = models.PositiveSmallIntegerField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    submitted_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="kyc_decisions"
    )

    class Meta:
        verbose_name = "KYC submission"
        permissions: ClassVar = [("decide_kyc", "Can decide on KYC submissions")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user"],
                condition=models.Q(status="pending"),
                name="one_pending_submission_per_user",
            ),
            models.CheckConstraint(
                condition=models.Q(status="pending", decided_at=None, decided_by=None, tier=None)
                | models.Q(status="approved", decided_at__isnull=False, tier__range=(1, 2))
                | (
                    models.Q(status="rejected", decided_at__isnull=False, tier=None)
                    & ~models.Q(reason="")
                ),
                name="submission_and_decision_agree",
            ),
            models.CheckConstraint(
                condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("user")),
                name="nobody_decides_on_their_own",
            ),
        ]

    def __str__(self) -> str:
        return f"KYC submission {self.id}"


class AttemptCounter(models.Model):
    """How often a subject tried something in the window that began at ``window_start``.

    ``subject`` is a keyed hash. ``pending`` attempts have been admitted and not judged yet.
    """

    scope = models.CharField(max_length=40)
    subject = models.CharField(max_length=64)
    window_start = models.DateTimeField(db_index=True)
    count = models.PositiveIntegerField(default=0)
    pending = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["scope", "subject"], name="attempt_counter_is_unique")
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.count}"
