"""Webhook endpoints and deliveries as docs/webhooks.md promises them."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from events.models import AuditRecord
from tests.contract.test_transfer_over_http import require_problem
from transactions.tests.factories import make_payee, wallet_of
from users.services import approve_kyc, reject_kyc
from users.tests.factories import PASSWORD, api_client, kyc_form, make_staff, make_user
from wallet.services import freeze_wallet, unfreeze_wallet
from webhooks.models import Delivery, Endpoint
from webhooks.tests.factories import (
    LOOPBACK,
    deliver_all,
    deliver_due,
    fan_out,
    make_endpoint,
    retried,
    tell,
)
from webhooks.tests.receivers import receiver

pytestmark = pytest.mark.usefixtures("committed")

ENDPOINTS = "/api/webhooks/endpoints/"
DELIVERIES = "/api/webhooks/deliveries/"
MEMBERS = {
    *("id", "url", "events", "description", "platform", "status", "reason", "failing_since"),
    "created_at",
}
URL = "http://127.0.0.1:9999/hook"


@pytest.fixture(autouse=True)
def _loopback(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = LOOPBACK


def _create(client: Any, **changes: Any) -> Any:
    body = {"url": URL, "events": ["transaction.posted"], **changes}
    return client.post(
        ENDPOINTS, {name: value for name, value in body.items() if value is not None}
    )


def test_an_endpoint_is_added_shown_listed_changed_and_deleted() -> None:
    client = api_client(make_payee())
    response = _create(client, description="Bookkeeping")
    assert response.status_code == 201
    made = response.json()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert set(made) == MEMBERS
    assert made | {"id": "", "created_at": ""} == {
        "id": "",
        "url": URL,
        "events": ["transaction.posted"],
        "description": "Bookkeeping",
        "platform": False,
        "status": "enabled",
        "reason": None,
        "failing_since": None,
        "created_at": "",
    }
    path = f"{ENDPOINTS}{made['id']}/"
    assert client.get(path).json() == made
    assert client.get(ENDPOINTS).json()["results"] == [made]
    changed = client.patch(path, {"events": ["*"], "description": "", "status": "disabled"}).json()
    assert changed == made | {
        "events": ["*"],
        "description": "",
        "status": "disabled",
        "reason": "by_owner",
    }
    assert client.patch(path, {"status": "enabled"}).json()["reason"] is None
    assert client.delete(path).status_code == 204
    require_problem(client.get(path), 404, "not_found")
    require_problem(client.delete(path), 404, "not_found")
    assert client.get(ENDPOINTS).json()["results"] == []
    trail = AuditRecord.objects.filter(subject_id=made["id"]).values_list("action", flat=True)
    assert [action.rpartition(".")[2] for action in trail.order_by("sequence")] == [
        *("created", "changed", "changed", "deleted"),
    ]


def test_a_secret_is_told_when_it_is_made_and_never_again() -> None:
    client = api_client(make_payee())
    made = _create(client).json()
    path = f"{ENDPOINTS}{made['id']}/"
    rotated = client.post(f"{path}rotate-secret/")
    assert rotated.status_code == 200
    assert rotated.json()["secret"] != made["secret"]
    for answer in (client.get(path), client.get(ENDPOINTS), client.patch(path, {"events": ["*"]})):
        assert "secret" not in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("url", {"url": None}),
        ("url", {"url": ""}),
        ("url", {"url": 1}),
        ("url", {"url": "not a url"}),
        ("url", {"url": "http://127.0.0.1:22/"}),
        ("url", {"url": "https://" + "x" * 2048}),
        ("events", {"events": None}),
        ("events", {"events": []}),
        ("events", {"events": "*"}),
        ("events", {"events": ["transaction.exploded"]}),
        ("events", {"events": ["*"] * 51}),
        ("events", {"events": [1]}),
        ("description", {"description": "x" * 501}),
        ("platform", {"platform": "true"}),
        ("secret", {"secret": "whsec_mine"}),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_told_by_field(field: str, changes: Any) -> None:
    response = _create(api_client(make_payee()), **changes)
    problem = require_problem(response, 400, "validation_error")
    assert {name.partition(".")[0] for name in problem["errors"]} == {field}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://127.0.0.1/", "no_public_address"),
        ("https://10.0.0.1/", "no_public_address"),
        ("https://169.254.169.254/latest/meta-data/", "no_public_address"),
        ("https://[::1]/", "no_public_address"),
        ("https://[::ffff:10.0.0.1]/", "no_public_address"),
        ("https://localhost/", "no_public_address"),
        ("https://no-such-host.invalid/", "no_public_address"),
        ("https://2130706433/", "invalid_host"),
        ("http://example.com/", "https_required"),
    ],
)
def test_a_url_that_leads_into_our_network_is_refused(
    url: str, code: str, settings: Settings
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    client = api_client(make_payee())
    problem = require_problem(_create(client, url=url), 400, "validation_error")
    assert problem["codes"] == {"url": [code]}
    assert client.get(ENDPOINTS).json()["results"] == []


def test_a_changed_url_is_judged_like_a_new_one(settings: Settings) -> None:
    client = api_client(make_payee())
    path = f"{ENDPOINTS}{_create(client).json()['id']}/"
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    require_problem(client.patch(path, {"url": "https://10.0.0.1/"}), 400, "validation_error")
    assert client.get(path).json()["url"] == URL


def test_a_user_has_so_many_endpoints_and_names_so_many_urls_a_day(settings: Settings) -> None:
    settings.WEBHOOK_ENDPOINTS_PER_USER = 2
    settings.WEBHOOK_URLS_PER_DAY = 4
    client = api_client(make_payee())
    assert [_create(client).status_code for _ in range(2)] == [201, 201]
    assert require_problem(_create(client), 409, "too_many_endpoints")["limit"] == 2
    client.delete(f"{ENDPOINTS}{client.get(ENDPOINTS).json()['results'][0]['id']}/")
    assert _create(client).status_code == 201
    require_problem(_create(client), 429, "throttled")


def test_only_those_who_may_hear_of_everybody_add_platform_endpoints() -> None:
    for caller in (make_payee(), make_staff()):
        require_problem(_create(api_client(caller), platform=True), 403, "permission_denied")
    one, other = (make_staff("webhooks.manage_platform_endpoints") for _ in range(2))
    made = _create(api_client(one), platform=True).json()
    try:
        assert made["platform"] is True
        path = f"{ENDPOINTS}{made['id']}/"
        # It is the platform's: whoever manages these sees it, whoever made it.
        assert api_client(other).get(path).status_code == 200
        require_problem(api_client(make_staff()).get(path), 404, "not_found")
    finally:
        api_client(other).delete(path)


def test_endpoints_and_deliveries_of_others_are_not_there() -> None:
    owner, stranger = make_payee(), api_client(make_payee())
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        deliver_all(endpoint)
    delivery = Delivery.objects.get(endpoint=endpoint)
    path = f"{ENDPOINTS}{endpoint.pk}/"
    span = {"from": "2026-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
    for response in (
        stranger.get(path),
        stranger.patch(path, {"status": "disabled"}),
        stranger.delete(path),
        stranger.post(f"{path}rotate-secret/"),
        stranger.post(f"{path}redeliver/", span),
        stranger.get(f"{DELIVERIES}{delivery.pk}/"),
        stranger.post(f"{DELIVERIES}{delivery.pk}/redeliver/"),
    ):
        require_problem(response, 404, "not_found")
    assert stranger.get(f"{DELIVERIES}?endpoint={endpoint.pk}").json()["results"] == []
    for path in (ENDPOINTS, DELIVERIES):
        require_problem(api_client().get(path), 401, "not_authenticated")


def test_deliveries_are_listed_with_every_try_newest_first() -> None:
    owner = make_payee()
    client = api_client(owner)
    with receiver(answers=[(500, {})]) as site:
        endpoint = make_endpoint(owner, site)
        tell(owner, "kyc.approved", sequence=3)
        fan_out()
        deliver_due(endpoint)
        retried(endpoint)
        tell(owner, "wallet.frozen")
        deliver_all(endpoint)
    newest, oldest = client.get(DELIVERIES).json()["results"]
    assert (newest["event_type"], oldest["event_type"]) == ("wallet.frozen", "kyc.approved")
    assert set(oldest) == {
        *("id", "endpoint", "event", "event_type", "subject", "sequence", "status", "created_at"),
        *("next_attempt_at", "delivered_at", "attempts"),
    }
    assert oldest["endpoint"] == str(endpoint.pk)
    assert oldest["event"] == site.received[0].id
    assert oldest["sequence"] == 3
    assert oldest["status"] == "delivered"
    assert oldest["next_attempt_at"] is None
    tries = [(one["status"], one["error"]) for one in oldest["attempts"]]
    assert tries == [(200, None), (500, "unexpected_status")]
    assert all(one["started_at"].endswith("Z") for one in oldest["attempts"])
    assert all(isinstance(one["duration_ms"], int) for one in oldest["attempts"])
    assert client.get(f"{DELIVERIES}{oldest['id']}/").json() == oldest


def test_deliveries_are_filtered_and_paged() -> None:
    owner = make_payee()
    client = api_client(owner)
    first, second = make_endpoint(owner), make_endpoint(owner, events=["kyc.rejected"])
    for event_type in ("kyc.approved", "kyc.rejected", "wallet.frozen"):
        tell(owner, event_type)
    fan_out()

    def types(query: str) -> list[str]:
        return [row["event_type"] for row in client.get(f"{DELIVERIES}?{query}").json()["results"]]

    assert len(types("")) == 4
    assert types(f"endpoint={second.pk}") == ["kyc.rejected"]
    assert types("event_type=wallet.frozen") == ["wallet.frozen"]
    assert types("status=dead") == []
    assert len(types("status=pending")) == 4
    assert types("to=2020-01-01") == []
    assert len(types("from=2020-01-01")) == 4
    page = client.get(f"{DELIVERIES}?endpoint={first.pk}&page_size=2").json()
    rest = client.get(page["next"]).json()
    listed = [row["event_type"] for row in page["results"] + rest["results"]]
    assert listed == ["wallet.frozen", "kyc.rejected", "kyc.approved"]
    assert rest["next"] is None
    require_problem(client.get(f"{DELIVERIES}?cursor=x"), 400, "invalid_cursor")
    for query in ("status=lost", "event_type=x", "endpoint=1", "from=x", "other=1"):
        require_problem(client.get(f"{DELIVERIES}?{query}"), 400, "validation_error")


def test_one_delivery_is_sent_again_under_the_same_id() -> None:
    owner = make_payee()
    client = api_client(owner)
    with receiver() as site:
        endpoint = make_endpoint(owner, site)
        tell(owner)
        deliver_all(endpoint)
        delivery = Delivery.objects.get(endpoint=endpoint)
        assert client.post(f"{DELIVERIES}{delivery.pk}/redeliver/").status_code == 202
        deliver_all(endpoint)
        assert len(site.received) == 2
        assert len(set(site.ids())) == 1
        client.patch(f"{ENDPOINTS}{endpoint.pk}/", {"status": "disabled"})
        response = client.post(f"{DELIVERIES}{delivery.pk}/redeliver/")
        assert require_problem(response, 409, "endpoint_disabled")["reason"] == "by_owner"


def test_a_span_of_time_is_sent_again_in_order(settings: Settings) -> None:
    settings.WEBHOOK_AT_ONCE = 1
    owner = make_payee()
    client = api_client(owner)
    with receiver(answers=[(410, {})]) as site:
        endpoint = make_endpoint(owner, site)
        subjects = [tell(owner) for _ in range(4)]
        fan_out()
        deliver_due(endpoint)
        path = f"{ENDPOINTS}{endpoint.pk}/"
        assert client.get(path).json()["reason"] == "gone"
        client.patch(path, {"status": "enabled"})
        now = timezone.now()
        span = {
            "from": (now - timedelta(hours=1)).isoformat(),
            "to": (now + timedelta(hours=1)).isoformat(),
        }
        response = client.post(f"{path}redeliver/", {**span, "status": "dead"})
        assert response.json() == {"count": 0, "has_more": False}
        settings.WEBHOOK_REDELIVERIES_AT_ONCE = 3
        response = client.post(f"{path}redeliver/", {**span, "status": "parked"})
        assert response.status_code == 202
        assert response.json() == {"count": 3, "has_more": True}
        deliver_all(endpoint)
        settings.WEBHOOK_REDELIVERIES_AT_ONCE = 4
        response = client.post(f"{path}redeliver/", {**span, "status": "parked"})
        assert response.json() == {"count": 1, "has_more": False}
        deliver_all(endpoint)
        future = {**span, "from": span["to"], "to": (now + timedelta(hours=2)).isoformat()}
        assert client.post(f"{path}redeliver/", future).json()["count"] == 0
        for bad in ({}, {"from": span["from"]}, {**span, "to": span["from"]}, {**span, "x": 1}):
            require_problem(client.post(f"{path}redeliver/", bad), 400, "validation_error")
    sent = Delivery.objects.filter(endpoint=endpoint).order_by("id").values_list("event", flat=True)
    assert len(subjects) == 4
    assert site.ids()[1:] == [str(event) for event in sent]


def test_a_freeze_and_a_kyc_decision_are_told_to_their_owner() -> None:
    user, operator = make_user(), make_staff("users.decide_kyc")
    client = api_client(user)

    def submit() -> uuid.UUID:
        response = client.post("/api/users/me/kyc/", kyc_form(), format="multipart")
        assert response.status_code == 201, response.content
        return uuid.UUID(response.json()["submission"]["id"])

    with receiver() as site:
        endpoint = make_endpoint(user, site)
        reject_kyc(submission_id=submit(), acting_user=operator, reason="Not readable.")
        approve_kyc(submission_id=submit(), acting_user=operator, tier=1)
        wallet = wallet_of(user)
        for _ in range(2):
            freeze_wallet(wallet_id=wallet.pk, acting_user=operator, reason="Suspicion of fraud")
            unfreeze_wallet(wallet_id=wallet.pk, acting_user=operator, reason="cleared")
        deliver_all(endpoint)
    told = sorted((r.payload for r in site.received), key=lambda e: str(e["created_at"]))
    assert [(e["type"], e["sequence"]) for e in told] == [
        *(("kyc.rejected", 1), ("kyc.approved", 2)),
        *(("wallet.frozen", 1), ("wallet.frozen", 2)),
    ]
    rejected, approved, frozen, _ = (e["data"] for e in told)
    assert (rejected["status"], rejected["reason"]) == ("rejected", "Not readable.")
    assert (approved["status"], approved["tier"]) == ("approved", 1)
    assert (frozen["id"], frozen["status"]) == (str(wallet.pk), "frozen")
    # Why a wallet is frozen is not its owner's to read.
    assert b"fraud" not in b"".join(r.body for r in site.received)


def test_the_admin_shows_no_secret() -> None:
    from django.test import Client

    admin = make_user(is_staff=True, is_superuser=True)
    endpoint = make_endpoint(make_payee())
    tell_to = Endpoint.objects.get(pk=endpoint.pk)
    client = Client(HTTP_HOST="localhost")
    assert client.login(username=admin.email, password=PASSWORD)
    for path in (f"endpoint/{endpoint.pk}/change/", "endpoint/", "delivery/"):
        page = client.get(f"/admin/webhooks/{path}")
        assert page.status_code == 200
        assert tell_to.secret not in page.content.decode()
