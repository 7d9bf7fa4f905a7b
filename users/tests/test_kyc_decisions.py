"""Deciding on identities: who may, once, on record, and what it changes."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.models import AuditRecord
from users import services, tasks
from users.models import AttemptCounter, KycSubmission, LoginSession, User
from users.signals import standing_will_change
from users.tests.factories import (
    access_token,
    api_client,
    at_once,
    kyc_form,
    make_staff,
    make_user,
    tokens,
)

pytestmark = pytest.mark.usefixtures("committed")

LIST = "/api/users/kyc/"


def make_submission(user: User | None = None) -> KycSubmission:
    user = user or make_user()
    answer = api_client(user).post("/api/users/me/kyc/", kyc_form(), format="multipart")
    assert answer.status_code == 201, answer.json()
    return KycSubmission.objects.get(user=user, status="pending")


def decider() -> User:
    return make_staff("users.decide_kyc")


def approve(submission: KycSubmission, staff: User, body: Any = None) -> Any:
    body = {"tier": 1} if body is None else body
    return api_client(staff).post(f"{LIST}{submission.pk}/approve/", body)


def reject(submission: KycSubmission, staff: User, body: Any = None) -> Any:
    body = {"reason": "The picture is blurred."} if body is None else body
    return api_client(staff).post(f"{LIST}{submission.pk}/reject/", body)


def assert_untouched(submission: KycSubmission) -> None:
    submission.refresh_from_db()
    user = User.objects.get(pk=submission.user_id)
    assert (submission.status, submission.decided_by_id) == ("pending", None)
    assert (user.kyc_status, user.kyc_tier) == ("pending", 0)


@pytest.mark.parametrize("tier", [1, 2])
def test_an_approval_gives_the_tier_until_it_runs_out(tier: int) -> None:
    submission, staff = make_submission(), decider()
    answer = approve(submission, staff, {"tier": tier})
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert (body["status"], body["tier"], body["decided_by"]) == ("approved", tier, str(staff.pk))
    assert body["document_number"] == "****4567"
    user = User.objects.get(pk=submission.user_id)
    assert (user.kyc_status, user.kyc_tier) == ("approved", tier)
    assert user.kyc_expires_at
    assert user.kyc_expires_at > timezone.now() + timedelta(days=700)
    record = AuditRecord.objects.get(subject_id=user.pk, action="kyc.approved")
    assert record.actor_id == staff.pk
    assert record.before == {"status": "pending", "tier": 0}
    assert record.after == {"status": "approved", "tier": tier, "submission": str(submission.pk)}


def test_a_rejection_tells_the_reason_and_lets_hand_in_again() -> None:
    submission, staff = make_submission(), decider()
    answer = reject(submission, staff)
    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")
    user = User.objects.get(pk=submission.user_id)
    mine = api_client(user).get("/api/users/me/").json()["kyc"]
    assert mine == {"status": "rejected", "tier": 0, "reason": "The picture is blurred."}
    assert AuditRecord.objects.get(subject_id=user.pk, action="kyc.rejected").actor_id == staff.pk
    again = make_submission(user)
    assert again.pk != submission.pk


@pytest.mark.parametrize("second", [approve, reject])
def test_a_decision_is_final(second: Any) -> None:
    submission, staff = make_submission(), decider()
    approve(submission, staff)
    answer = second(submission, staff)
    assert (answer.status_code, answer.json()["code"]) == (409, "kyc_already_decided")
    assert User.objects.get(pk=submission.user_id).kyc_tier == 1


@pytest.mark.parametrize("superuser", [False, True])
def test_nobody_decides_on_their_own_submission(superuser: bool) -> None:
    staff = make_user(is_staff=True, is_superuser=True) if superuser else decider()
    submission = make_submission(staff)
    for answer in (approve(submission, staff), reject(submission, staff)):
        assert (answer.status_code, answer.json()["code"]) == (403, "own_submission")
    assert_untouched(submission)


def test_the_database_refuses_a_decision_on_ones_own() -> None:
    submission = make_submission()
    with pytest.raises(IntegrityError, match="nobody_decides_on_their_own"):
        KycSubmission.objects.filter(pk=submission.pk).update(
            status="approved", tier=2, decided_at=timezone.now(), decided_by=submission.user
        )


def test_without_the_permission_nothing_is_shown_or_decided() -> None:
    submission = make_submission()
    for user in (make_user(), make_user(is_staff=True), submission.user):
        client = api_client(user)
        one = f"{LIST}{submission.pk}/"
        answers = [
            client.get(LIST),
            client.get(one),
            client.post(f"{one}approve/", {"tier": 2}),
            client.post(f"{one}reject/", {"reason": "x"}),
        ]
        assert [answer.status_code for answer in answers] == [403] * 4
        assert {answer.json()["code"] for answer in answers} == {"permission_denied"}
    assert_untouched(submission)


def test_the_service_asks_for_the_permission_itself() -> None:
    submission = make_submission()
    with pytest.raises(PermissionDenied):
        services.approve_kyc(submission_id=submission.pk, acting_user=make_user(), tier=2)
    inactive = make_user(is_active=False, is_superuser=True)
    with pytest.raises(PermissionDenied):
        services.reject_kyc(submission_id=submission.pk, acting_user=inactive, reason="x")
    assert_untouched(submission)


def test_without_a_token_nobody_gets_in() -> None:
    one = f"{LIST}{uuid.uuid4()}/"
    client = api_client()
    answers = [
        client.get(LIST),
        client.get(one),
        client.post(f"{one}approve/", {}),
        client.post(f"{one}reject/", {}),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tier": 0},
        {"tier": 3},
        {"tier": -1},
        {"tier": "2"},
        {"tier": 1.0},
        {"tier": True},
        {"tier": None},
        {"tier": [1]},
        {"tier": 10**30},
        {"tier": 1, "status": "approved"},
        [],
    ],
)
def test_a_malformed_approval_is_refused(body: Any) -> None:
    submission = make_submission()
    assert approve(submission, decider(), body).status_code == 400
    assert_untouched(submission)


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": ""}, {"reason": "   "}, {"reason": None}, {"reason": 5}, {"reason": "x" * 501}],
)
def test_a_rejection_needs_a_reason(body: Any) -> None:
    submission = make_submission()
    answer = reject(submission, decider(), body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["reason"])
    assert_untouched(submission)


@pytest.mark.parametrize(
    "key", [str(uuid.UUID(int=10)), "5", "true", "a%00b", str(uuid.UUID(int=10)).upper()]
)
def test_an_unknown_submission_is_not_found(key: str) -> None:
    client = api_client(decider())
    assert client.get(f"{LIST}{key}/").status_code == 404
    assert client.post(f"{LIST}{key}/approve/", {"tier": 1}).status_code == 404
    assert client.post(f"{LIST}{key}/reject/", {"reason": "x"}).status_code == 404


def test_of_two_deciders_at_once_one_decides() -> None:
    """Seen to fail without the row locks: both were told that they had decided."""
    submission = make_submission()
    staff = [decider() for _ in range(6)]
    clients = [api_client(user) for user in staff]

    def act(index: int) -> tuple[int, str]:
        path = f"{LIST}{submission.pk}/"
        if index % 2:
            answer = clients[index].post(f"{path}approve/", {"tier": 2})
        else:
            answer = clients[index].post(f"{path}reject/", {"reason": "no"})
        return answer.status_code, answer.json().get("code", "")

    answers = at_once(6, act)
    assert sorted(answers) == [(200, "")] + [(409, "kyc_already_decided")] * 5
    winner = staff[answers.index((200, ""))]
    submission.refresh_from_db()
    user = User.objects.get(pk=submission.user_id)
    assert submission.decided_by_id == winner.pk
    assert submission.status == user.kyc_status
    decided = AuditRecord.objects.filter(
        subject_id=user.pk, action__in=["kyc.approved", "kyc.rejected"]
    )
    assert decided.count() == 1


@contextmanager
def listening() -> Iterator[list[tuple[Any, bool, int]]]:
    """Whom the signal was sent for, whether in a transaction, and how many users were locked yet."""
    heard: list[tuple[Any, bool, int]] = []

    def receiver(*, user_id: uuid.UUID, **_: Any) -> None:
        log = [query["sql"] for query in connection.queries_log]
        locked = [sql for sql in log if 'FROM "users_user"' in sql and "FOR NO KEY" in sql]
        heard.append((user_id, connection.in_atomic_block, len(locked)))

    standing_will_change.connect(receiver)
    try:
        yield heard
    finally:
        standing_will_change.disconnect(receiver)


def test_the_wallets_are_locked_before_the_user_whenever_the_standing_changes() -> None:
    staff = make_staff("users.decide_kyc", "users.change_user")
    one, other = make_submission(), make_submission()
    due = make_user(tier=1, kyc_expires_at=timezone.now() - timedelta(seconds=1))
    acts = [
        (one.user_id, lambda: approve_as(staff, one)),
        (other.user_id, lambda: reject_as(staff, other)),
        (one.user_id, lambda: services.deactivate_user(user_id=one.user_id, acting_user=staff)),
        (one.user_id, lambda: services.activate_user(user_id=one.user_id, acting_user=staff)),
        (due.pk, services.expire_kyc),
    ]
    for user_id, act in acts:
        connection.queries_log.clear()
        with listening() as heard, CaptureQueriesContext(connection):
            act()  # type: ignore[no-untyped-call]
        assert (user_id, True, 0) in heard


def approve_as(staff: User, submission: KycSubmission) -> None:
    services.approve_kyc(submission_id=submission.pk, acting_user=staff, tier=1)


def reject_as(staff: User, submission: KycSubmission) -> None:
    services.reject_kyc(submission_id=submission.pk, acting_user=staff, reason="no")


def test_the_list_goes_by_pages_and_status() -> None:
    submissions = [make_submission() for _ in range(3)]
    staff = decider()
    approve(submissions[1], staff)
    client = api_client(staff)
    page = client.get(LIST, {"page_size": 2}).json()
    assert [row["id"] for row in page["results"]] == [str(s.pk) for s in submissions[:0:-1]]
    assert page["next"]
    further = client.get(page["next"]).json()
    assert further["results"][0]["id"] == str(submissions[0].pk)
    pending = client.get(f"{LIST}?status=pending&page_size=200").json()["results"]
    assert {row["status"] for row in pending} == {"pending"}
    row = next(row for row in pending if row["id"] == str(submissions[0].pk))
    assert row["user"] == {
        "id": str(submissions[0].user_id),
        "email": submissions[0].user.email,
    }
    assert "X1234567" not in str(pending)
    assert not any("document_front" in row for row in pending)
    one = client.get(f"{LIST}{submissions[0].pk}/")
    assert one.json() == row


@pytest.mark.parametrize(
    "query",
    ["status=x", "status=pending&status=approved", "limit=5", "page_size=0", "page_size=201"],
)
def test_an_unknown_query_is_refused(query: str) -> None:
    assert api_client(decider()).get(f"{LIST}?{query}").status_code == 400


def test_a_cursor_of_somebody_elses_making_is_refused() -> None:
    answer = api_client(decider()).get(LIST, {"cursor": "p=notadate"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


def test_an_approval_runs_out() -> None:
    due = make_user(tier=2, kyc_expires_at=timezone.now() - timedelta(seconds=1))
    valid = make_user(tier=2)
    assert tasks.expire_kyc() >= 1
    user = User.objects.get(pk=due.pk)
    assert (user.kyc_status, user.kyc_tier) == ("expired", 0)
    assert User.objects.get(pk=valid.pk).kyc_tier == 2
    tasks.expire_kyc()
    record = AuditRecord.objects.get(subject_id=due.pk)
    assert (record.action, record.actor_id) == ("kyc.expired", None)
    assert record.before == {"status": "approved", "tier": 2}


def test_one_expiry_in_trouble_does_not_keep_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = timezone.now() - timedelta(days=1)
    first = make_user(tier=1, kyc_expires_at=ended)
    second = make_user(tier=1, kyc_expires_at=ended + timedelta(seconds=1))

    def receiver(*, user_id: uuid.UUID, **_: Any) -> None:
        if user_id == first.pk:
            raise RuntimeError("a wallet in trouble")

    standing_will_change.connect(receiver)
    try:
        with caplog.at_level(logging.CRITICAL + 1):
            tasks.expire_kyc()
    finally:
        standing_will_change.disconnect(receiver)
    assert User.objects.get(pk=first.pk).kyc_tier == 1
    assert User.objects.get(pk=second.pk).kyc_tier == 0
    tasks.expire_kyc()
    assert User.objects.get(pk=first.pk).kyc_tier == 0


def test_sessions_and_counters_long_past_are_forgotten() -> None:
    user = make_user()
    tokens(user)
    past = timezone.now() - timedelta(days=3)
    LoginSession.objects.filter(user=user).update(expires_at=past)
    counter = AttemptCounter.objects.create(scope="t", subject=uuid.uuid4().hex, window_start=past)
    live = access_token(user)
    assert tasks.prune_sessions() >= 2
    assert not AttemptCounter.objects.filter(pk=counter.pk).exists()
    assert LoginSession.objects.filter(user=user).count() == 1
    answer = api_client().get("/api/users/me/", HTTP_AUTHORIZATION=f"Bearer {live}")
    assert answer.status_code == 200
