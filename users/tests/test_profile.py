"""The caller's own account."""

from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from events.models import AuditRecord
from users import services
from users.errors import OwnAccount, PhoneMissing, PhoneTaken
from users.models import User
from users.tests.factories import api_client, make_staff, make_user, unique_phone

pytestmark = pytest.mark.usefixtures("committed")

ME = "/api/users/me/"


def limits_of(user: User) -> dict[str, Any]:
    return {"USD": {"remaining": "5.00", "asked_for": str(user.pk)}}


def test_me_shows_the_caller() -> None:
    user = make_user(tier=2, first_name="Ada", email_verified_at=timezone.now())
    body = api_client(user).get(ME).json()
    assert body["id"] == str(user.pk)
    assert body["email_verified"] is True
    assert body["phone"] is None
    assert body["kyc"] == {"status": "approved", "tier": 2, "reason": ""}
    assert body["mfa_enabled"] is False


def test_limits_come_from_the_app_that_knows_them(settings: Settings) -> None:
    settings.PROFILE_LIMITS = "users.tests.test_profile.limits_of"
    user = make_user()
    assert api_client(user).get(ME).json()["limits"]["USD"]["asked_for"] == str(user.pk)


def test_a_caller_without_a_token_is_asked_for_one() -> None:
    answer = api_client().get(ME)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_names_and_phone_can_be_changed() -> None:
    user, phone = make_user(), unique_phone()
    changes = {"first_name": "Grace", "last_name": "O'Hopper-\u00c9", "phone": phone}
    answer = api_client(user).patch(ME, changes)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in changes} == changes
    record = AuditRecord.objects.get(subject_id=user.pk, action="user.profile_changed")
    assert record.after == {"changed": ["first_name", "last_name", "phone"]}
    assert record.actor_id == user.pk


def test_hostile_text_is_stored_verbatim() -> None:
    text = "'; DROP TABLE users_user;--\r\nINFO forged"
    user = make_user()
    assert api_client(user).patch(ME, {"first_name": text}).json()["first_name"] == text


def test_an_empty_change_changes_nothing() -> None:
    user = make_user(first_name="Ada")
    assert api_client(user).patch(ME, {}).json()["first_name"] == "Ada"
    assert not AuditRecord.objects.filter(subject_id=user.pk).exists()


@pytest.mark.parametrize("gone", [None, ""])
def test_the_phone_can_be_taken_away(gone: str | None) -> None:
    user = make_user(phone=unique_phone())
    assert api_client(user).patch(ME, {"phone": gone}).json()["phone"] is None


def test_another_number_is_unverified_and_the_same_one_stays_verified() -> None:
    phone = unique_phone()
    user = make_user(phone=phone, phone_verified_at=timezone.now())
    api_client(user).patch(ME, {"phone": phone, "first_name": "A"})
    assert User.objects.get(pk=user.pk).phone_verified_at is not None
    api_client(user).patch(ME, {"phone": unique_phone()})
    assert User.objects.get(pk=user.pk).phone_verified_at is None


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"phone": "6502530000"}, "phone", "invalid_phone"),
        ({"phone": "+16502530000 ext. 9"}, "phone", "invalid_phone"),
        ({"phone": "+1 800 FLOWERS"}, "phone", "invalid_phone"),
        ({"phone": 5}, "phone", "invalid"),
        ({"first_name": None}, "first_name", "null"),
        ({"first_name": "a\x00b"}, "first_name", "null_characters_not_allowed"),
        ({"first_name": "\u202eevil"}, "first_name", "bidi"),
        ({"first_name": "x" * 101}, "first_name", "max_length"),
        ({"id": "0190a5c0-0000-7000-8000-000000000000"}, "id", "unknown"),
        ({"email": "new@example.com"}, "email", "unknown"),
        ({"email_verified": True}, "email_verified", "unknown"),
        ({"wallet": {}}, "wallet", "unknown"),
        ({"kyc": {"tier": 2}}, "kyc", "unknown"),
        ({"kyc_tier": 2}, "kyc_tier", "unknown"),
        ({"kyc_status": "approved"}, "kyc_status", "unknown"),
        ({"limits": {}}, "limits", "unknown"),
        ({"is_staff": True}, "is_staff", "unknown"),
        ({"is_superuser": True}, "is_superuser", "unknown"),
        ({"is_active": True}, "is_active", "unknown"),
        ({"password": "correct horse battery"}, "password", "unknown"),
        ({"phone_verified_at": "2026-01-01T00:00:00Z"}, "phone_verified_at", "unknown"),
        ({"mfa_enabled": True}, "mfa_enabled", "unknown"),
        ({"created_at": "1970-01-01T00:00:00Z"}, "created_at", "unknown"),
        ({"token_version": 0}, "token_version", "unknown"),
    ],
)
def test_what_is_not_the_callers_to_change_is_refused(
    body: dict[str, Any], field: str, code: str
) -> None:
    user = make_user()
    answer = api_client(user).patch(ME, {"last_name": "Changed", **body})
    assert answer.status_code == 400
    assert answer.json()["codes"] == {field: [code]}
    assert User.objects.get(pk=user.pk).last_name == ""


@pytest.mark.parametrize("method", ["put", "post", "delete"])
def test_nothing_else_is_answered(method: str) -> None:
    assert getattr(api_client(make_user()), method)(ME).status_code == 405


def test_one_number_is_verified_for_one_account() -> None:
    operator, phone = make_staff("users.change_user"), unique_phone()
    first, second = make_user(phone=phone), make_user(phone=phone)
    services.verify_phone(user_id=first.pk, acting_user=operator)
    with pytest.raises(PhoneTaken):
        services.verify_phone(user_id=second.pk, acting_user=operator)
    with pytest.raises(PhoneMissing):
        services.verify_phone(user_id=make_user().pk, acting_user=operator)
    assert User.objects.get(pk=first.pk).phone_verified_at
    assert not User.objects.get(pk=second.pk).phone_verified_at


def test_deactivation_is_on_record_and_not_for_oneself() -> None:
    operator, user = make_staff("users.change_user"), make_user()
    services.deactivate_user(user_id=user.pk, acting_user=operator, reason="asked for it")
    services.deactivate_user(user_id=user.pk, acting_user=operator)
    record = AuditRecord.objects.get(subject_id=user.pk)
    assert (record.action, record.actor_id) == ("user.deactivated", operator.pk)
    assert (record.before, record.after) == ({"is_active": True}, {"is_active": False})
    assert record.reason == "asked for it"
    with pytest.raises(OwnAccount):
        services.deactivate_user(user_id=operator.pk, acting_user=operator)
