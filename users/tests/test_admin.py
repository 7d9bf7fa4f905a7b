"""The operators' pages: every act through a service, nothing deleted, nothing overwritten."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django.fixtures import Settings

from events.models import AuditRecord
from users.models import AttemptCounter, KycSubmission, LoginSession, User
from users.tests.factories import (
    PASSWORD,
    access_token,
    api_client,
    kyc_form,
    make_staff,
    make_user,
    tokens,
    unique_address,
    unique_email,
    unique_phone,
)

pytestmark = pytest.mark.usefixtures("committed")

USERS = "/admin/users/user/"
SUBMISSIONS = "/admin/users/kycsubmission/"


def browser(user: User) -> Client:
    client = Client(REMOTE_ADDR=unique_address())
    client.force_login(user)
    return client


def superuser() -> User:
    return make_user(is_staff=True, is_superuser=True)


def submission_of(user: User | None = None) -> KycSubmission:
    user = user or make_user()
    api_client(user).post("/api/users/me/kyc/", kyc_form(), format="multipart")
    return KycSubmission.objects.get(user=user)


def act(client: Client, url: str, action: str, *keys: Any) -> Any:
    body = {"action": action, "_selected_action": [str(key) for key in keys]}
    return client.post(url, body, follow=True)


def messages_of(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_every_page_of_every_model_opens() -> None:
    client = browser(superuser())
    user = make_user()
    submission = submission_of(user)
    tokens(user)
    session = LoginSession.objects.filter(user=user).latest("id")
    counter = AttemptCounter.objects.latest("id")
    group = Group.objects.create(name=f"deciders {user.pk}")
    for obj in (user, submission, session, counter, group):
        base = f"/admin/{obj._meta.app_label}/{obj._meta.model_name}/"
        assert client.get(base).status_code == 200, base
        page = client.get(f"{base}{obj.pk}/change/")
        assert page.status_code == 200, base
        assert b"X1234567" not in page.content
        assert session.current_token.encode() not in page.content
        assert client.get(f"{base}{obj.pk}/delete/").status_code == 403
        assert client.get(f"{base}?q=x").status_code == 200


@pytest.mark.parametrize("model", [User, KycSubmission, LoginSession, AttemptCounter, Group])
def test_nothing_can_be_deleted(model: Any) -> None:
    client = browser(superuser())
    page = client.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")
    assert b"delete_selected" not in page.content
    assert model in admin.site._registry


def test_an_account_is_opened_with_a_judged_password() -> None:
    operator = superuser()
    client, email = browser(operator), unique_email("New")
    refused = client.post(f"{USERS}add/", {"email": "mi\u212ae@example.org", "password": "short"})
    assert refused.status_code == 200
    assert refused.context["adminform"].errors.keys() == {"email", "password"}
    answer = client.post(f"{USERS}add/", {"email": email, "password": PASSWORD})
    assert answer.status_code == 302
    user = User.objects.get(email=email.lower())
    assert user.check_password(PASSWORD)
    assert AuditRecord.objects.get(subject_id=user.pk).actor_id == operator.pk
    again = client.post(f"{USERS}add/", {"email": email, "password": PASSWORD})
    assert again.context["adminform"].errors.keys() == {"email"}


def test_saving_a_page_writes_nothing_but_what_was_changed_on_it() -> None:
    client, user = browser(superuser()), make_user(first_name="Old")
    page = f"{USERS}{user.pk}/change/"
    client.get(page)
    User.objects.filter(pk=user.pk).update(kyc_status="approved", kyc_tier=2, last_name="Kept")
    body = {"first_name": "New", "last_name": "Kept", "kyc_tier": "0", "email": "x@example.com"}
    assert client.post(page, body).status_code == 302
    changed = User.objects.get(pk=user.pk)
    assert (changed.first_name, changed.kyc_tier, changed.email) == ("New", 2, user.email)


def test_an_operator_cannot_make_themselves_a_superuser() -> None:
    operator = make_staff("users.change_user", "users.view_user")
    client = browser(operator)
    client.post(f"{USERS}{operator.pk}/change/", {"is_superuser": "on", "is_staff": "on"})
    assert not User.objects.get(pk=operator.pk).is_superuser
    boss = superuser()
    assert client.post(f"{USERS}{boss.pk}/change/", {"first_name": "x"}).status_code == 403
    act(client, USERS, "deactivate", boss.pk)
    assert User.objects.get(pk=boss.pk).is_active


def test_accounts_are_shut_opened_and_signed_out() -> None:
    client, user = browser(superuser()), make_user()
    token = access_token(user)
    act(client, USERS, "end_tokens", user.pk)
    me = api_client().get("/api/users/me/", HTTP_AUTHORIZATION=f"Bearer {token}")
    assert me.status_code == 401
    act(client, USERS, "deactivate", user.pk)
    assert not User.objects.get(pk=user.pk).is_active
    act(client, USERS, "activate", user.pk)
    assert User.objects.get(pk=user.pk).is_active


def test_a_phone_is_verified_once_and_refusals_are_shown() -> None:
    client, phone = browser(superuser()), unique_phone()
    first, second = make_user(phone=phone), make_user(phone=phone)
    act(client, USERS, "verify_phones", first.pk)
    answer = act(client, USERS, "verify_phones", second.pk, make_user().pk)
    assert User.objects.get(pk=first.pk).phone_verified_at
    assert any("verified this phone number" in text for text in messages_of(answer))
    assert any("no phone number" in text for text in messages_of(answer))


@pytest.mark.parametrize("tier", [1, 2])
def test_submissions_are_approved_from_the_list(tier: int) -> None:
    operator, submission = superuser(), submission_of()
    act(browser(operator), SUBMISSIONS, f"approve_for_tier_{tier}", submission.pk)
    assert User.objects.get(pk=submission.user_id).kyc_tier == tier
    submission.refresh_from_db()
    assert submission.decided_by_id == operator.pk
    again = act(browser(superuser()), SUBMISSIONS, "approve_for_tier_2", submission.pk)
    assert any("already been decided" in text for text in messages_of(again))


def dialog(client: Client, submission: KycSubmission, name: str, **fields: str) -> Any:
    url = f"{SUBMISSIONS}{submission.pk}/{name}/"
    assert client.get(url).status_code == 200
    submission.refresh_from_db()
    assert submission.status == "pending", "looking decides nothing"
    return client.post(url, {"_form_submitted": "on", **fields})


def test_a_submission_is_approved_on_its_page() -> None:
    submission = submission_of()
    assert dialog(browser(superuser()), submission, "approve_2").status_code == 302
    assert User.objects.get(pk=submission.user_id).kyc_tier == 2


def test_a_rejection_needs_a_reason() -> None:
    submission, client = submission_of(), browser(superuser())
    assert dialog(client, submission, "reject").status_code == 200
    assert dialog(client, submission, "reject", reason="Blurred.").status_code == 302
    assert User.objects.get(pk=submission.user_id).kyc_reason == "Blurred."


def test_an_operator_does_not_decide_on_their_own() -> None:
    operator = superuser()
    submission = submission_of(operator)
    answer = act(browser(operator), SUBMISSIONS, "approve_for_tier_2", submission.pk)
    assert any("your own submission" in text for text in messages_of(answer))
    assert User.objects.get(pk=operator.pk).kyc_tier == 0


def test_deciding_and_looking_at_pictures_need_the_permission() -> None:
    submission = submission_of()
    client = browser(make_staff("users.view_kycsubmission"))
    assert client.get(f"{SUBMISSIONS}{submission.pk}/change/").status_code == 200
    act(client, SUBMISSIONS, "approve_for_tier_2", submission.pk)
    assert client.post(f"{SUBMISSIONS}{submission.pk}/approve_2/", {}).status_code == 403
    assert client.get(f"{SUBMISSIONS}{submission.pk}/picture/front/").status_code == 403
    assert User.objects.get(pk=submission.user_id).kyc_tier == 0


def test_a_picture_is_a_download_and_looking_is_on_record() -> None:
    submission, operator = submission_of(), make_staff("users.decide_kyc")
    answer: Any = browser(operator).get(f"{SUBMISSIONS}{submission.pk}/picture/front/")
    assert answer.status_code == 200
    assert b"".join(answer.streaming_content).startswith(b"\xff\xd8\xff")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer.headers["Cache-Control"]
    record = AuditRecord.objects.get(subject_id=submission.user_id, action="kyc.document_viewed")
    assert (record.actor_id, record.after["side"]) == (operator.pk, "front")


@pytest.mark.parametrize("side", ["back", "other"])
def test_a_picture_that_is_not_there_is_not_found(side: str) -> None:
    submission = submission_of()
    client = browser(superuser())
    assert client.get(f"{SUBMISSIONS}{submission.pk}/picture/{side}/").status_code == 404


def test_pictures_are_not_for_users_and_strangers() -> None:
    submission = submission_of()
    url = f"{SUBMISSIONS}{submission.pk}/picture/front/"
    assert Client().get(url).status_code == 302
    assert browser(submission.user).get(url).status_code == 302


def test_the_admins_sign_in_counts_failures_like_the_apis(settings: Settings) -> None:
    settings.AUTHENTICATION_BACKENDS = ["users.backends.CountedBackend"]
    settings.SIGN_IN_FAILURES = {"account_and_network": 2, "account": 100, "network": 100}
    operator = superuser()
    client = Client(REMOTE_ADDR=unique_address())

    def sign_in(password: str) -> int:
        body = {"username": operator.email.upper(), "password": password}
        return int(client.post("/admin/login/?next=/admin/", body).status_code)

    assert sign_in(PASSWORD) == 302
    client.logout()
    assert [sign_in("wrong password") for _ in range(2)] == [200, 200]
    assert sign_in(PASSWORD) == 200, "too many failures: not even the right password is judged"


def test_ending_all_tokens_ends_browser_sessions() -> None:
    operator, boss = make_staff("users.view_user"), superuser()
    client = browser(operator)
    assert client.get("/admin/").status_code == 200
    act(browser(boss), USERS, "end_tokens", operator.pk)
    assert client.get("/admin/").status_code == 302
