"""What comes in, judged by shape; what goes out, field by field."""

import re
from datetime import UTC, date, datetime
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.pagination import PageQueryMixin
from fintech_core.serializers import QuerySerializer, StrictSerializer, TextField, UTCDateTimeField
from users.countries import COUNTRIES
from users.documents import MAX_FILE_BYTES
from users.identity import IdentityError, normalize_email
from users.models import DocumentType, KycStatus, KycSubmission, SubmissionStatus, User
from users.selectors import get_limits
from users.services.kyc import REASON_MAX_LENGTH
from users.tokens import MAX_TOKEN_LENGTH

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DOCUMENT_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ./-]{3,39}", re.ASCII)
_OLDEST = 130


class EmailTextField(TextField):
    """An email address in its canonical form."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=254, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        try:
            return normalize_email(super().to_internal_value(data))
        except IdentityError as error:
            raise serializers.ValidationError(str(error), code=error.code) from None


class PasswordField(serializers.CharField):
    """A password exactly as sent: a string of bounded length, nothing trimmed or folded."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs |= {"trim_whitespace": False, "write_only": True}
        kwargs["max_length"] = settings.PASSWORD_MAX_LENGTH
        super().__init__(style={"input_type": "password"}, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class WholeNumberField(serializers.IntegerField):
    """A JSON number without a fraction; no text, no true or false."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class RegistrationSerializer(StrictSerializer):
    email = EmailTextField()
    password = PasswordField()
    first_name = TextField(max_length=100, allow_blank=True, required=False)
    last_name = TextField(max_length=100, allow_blank=True, required=False)
    phone = TextField(max_length=40, allow_blank=True, allow_null=True, required=False)


class SignInSerializer(StrictSerializer):
    email = EmailTextField()
    password = PasswordField()


class RefreshSerializer(StrictSerializer):
    refresh = TextField(max_length=MAX_TOKEN_LENGTH)


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class KycStandingSerializer(serializers.Serializer[User]):
    """Where the identity check stands, and what tier it gives."""

    status = serializers.ChoiceField(KycStatus.choices, source="kyc_status")
    tier = serializers.IntegerField(source="kyc_tier")
    reason = serializers.CharField(source="kyc_reason")


class UserSerializer(serializers.Serializer[User]):
    """An account as its owner sees it."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    email_verified = serializers.SerializerMethodField()
    phone = serializers.SerializerMethodField()
    first_name = serializers.CharField()
    last_name = serializers.CharField()
    kyc = KycStandingSerializer(source="*")
    limits = serializers.SerializerMethodField()
    mfa_enabled = serializers.SerializerMethodField()
    created_at = UTCDateTimeField()

    def get_email_verified(self, user: User) -> bool:
        return user.email_verified_at is not None

    def get_phone(self, user: User) -> str | None:
        return user.phone or None

    @extend_schema_field(serializers.DictField(child=serializers.JSONField()))
    def get_limits(self, user: User) -> dict[str, Any]:
        return get_limits(user)

    def get_mfa_enabled(self, user: User) -> bool:
        # No second factor can be set up yet; the member is here because clients are promised it.
        return False


class SignedInSerializer(TokenPairSerializer):
    user = UserSerializer()


class ProfileSerializer(StrictSerializer):
    first_name = TextField(max_length=100, allow_blank=True, required=False)
    last_name = TextField(max_length=100, allow_blank=True, required=False)
    phone = TextField(max_length=40, allow_blank=True, allow_null=True, required=False)


class BirthDateField(serializers.DateField):
    """A calendar date ``YYYY-MM-DD`` of somebody of age."""

    default_error_messages = {
        "invalid": "Send a date as YYYY-MM-DD.",
        "too_young": "You are not old enough.",
        "too_old": "This date is too long ago.",
    }

    def to_internal_value(self, value: Any) -> date:
        if not isinstance(value, str) or not _DATE.fullmatch(value):
            self.fail("invalid")
        born: date = super().to_internal_value(value)
        today = datetime.now(UTC).date()
        age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
        if age < getattr(settings, "KYC_MINIMUM_AGE", 18):
            self.fail("too_young")
        if age > _OLDEST:
            self.fail("too_old")
        return born


class CountryField(TextField):
    """An ISO 3166-1 alpha-2 code in upper case."""

    default_error_messages = {"country": "Send an ISO 3166-1 alpha-2 code such as US."}

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if value not in COUNTRIES:
            self.fail("country")
        return value


class DocumentNumberField(TextField):
    """The number printed on a document: 4 to 40 letters, digits and separators."""

    default_error_messages = {"number": "Send 4 to 40 letters and digits."}

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if not _DOCUMENT_NUMBER.fullmatch(value):
            self.fail("number")
        return value


class PictureField(serializers.FileField):
    """An uploaded file of bounded size; that it is a picture is found by redrawing it."""

    default_error_messages = {"too_large": "The file may have 5 MB at most."}

    def to_internal_value(self, data: Any) -> Any:
        file = super().to_internal_value(data)
        if file.size > MAX_FILE_BYTES:
            self.fail("too_large")
        return file


class SubmissionSerializer(StrictSerializer):
    """What a user hands in."""

    legal_name = TextField(max_length=200)
    date_of_birth = BirthDateField()
    country = CountryField(max_length=2)
    address = TextField(max_length=500)
    document_type = serializers.ChoiceField(DocumentType.choices)
    document_number = DocumentNumberField()
    document_front = PictureField()
    document_back = PictureField(required=False)


def mask(number: str) -> str:
    """A document number with all but its last four characters hidden, and never less than half."""
    shown = min(4, len(number) // 2)
    return "*" * (len(number) - shown) + number[len(number) - shown :]


class SubmittedSerializer(serializers.Serializer[Any]):
    """A submission as its user sees it."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(SubmissionStatus.choices)
    legal_name = serializers.CharField()
    date_of_birth = serializers.DateField()
    country = serializers.CharField()
    address = serializers.CharField()
    document_type = serializers.ChoiceField(DocumentType.choices)
    document_number = serializers.SerializerMethodField()
    tier = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()
    submitted_at = UTCDateTimeField()
    decided_at = UTCDateTimeField(allow_null=True)

    def get_document_number(self, submission: KycSubmission) -> str:
        return mask(submission.document_number)


class MyKycSerializer(KycStandingSerializer):
    """The standing, and the latest submission behind it."""

    submission = SubmittedSerializer(allow_null=True)


class ApplicantSerializer(serializers.Serializer[User]):
    id = serializers.UUIDField()
    email = serializers.EmailField()


class StaffSubmissionSerializer(SubmittedSerializer):
    """A submission as those who decide see it."""

    user = ApplicantSerializer()
    decided_by = serializers.UUIDField(source="decided_by_id", allow_null=True)


class SubmissionQuerySerializer(PageQueryMixin, QuerySerializer):
    status = serializers.ChoiceField(SubmissionStatus.choices, required=False)


class ApprovalSerializer(StrictSerializer):
    tier = WholeNumberField(min_value=1, max_value=2)


class RejectionSerializer(StrictSerializer):
    reason = TextField(max_length=REASON_MAX_LENGTH)
