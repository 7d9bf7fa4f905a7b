"""Planned transfers as docs/api.md promises them: shapes, replays, refusals, other people's."""

import datetime
import json
import time
import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.contract.test_transfer_over_http import require_problem
from transactions import services
from transactions.models import Schedule
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import api_client

pytestmark = pytest.mark.usefixtures("committed")

SCHEDULES = "/api/transactions/transactions/schedules/"
MEMBERS = {
    *("id", "status", "next_run_at", "start_at", "rrule", "timezone", "to_user_email", "to_phone"),
    *("to_wallet", "from_wallet", "amount", "currency", "description", "metadata", "runs"),
    *("created_at", "canceled_at"),
}


def at(**ahead: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(**ahead)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def body_for(payee: User, **members: Any) -> dict[str, Any]:
    body = {
        "to_user_email": payee.email,
        "amount": "1.00",
        "start_at": at(days=1),
        "idempotency_key": uuid.uuid4().hex,
        **members,
    }
    return {name: value for name, value in body.items() if value is not ...}


def test_a_schedule_is_made_shown_listed_run_and_canceled() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    body = body_for(
        payee,
        start_at=at(seconds=-2),
        rrule="FREQ=MONTHLY;COUNT=12",
        timezone="Europe/Berlin",
        description="rent",
        metadata={"flat": "3"},
    )
    made = client.post(SCHEDULES, body)
    assert made.status_code == 201, made.content
    told = made.json()
    assert set(told) == MEMBERS
    assert (told["status"], told["runs"], told["canceled_at"]) == ("active", [], None)
    assert told["next_run_at"] == told["start_at"] == body["start_at"].replace("Z", ".000000Z")
    assert (told["amount"], told["currency"]) == ("1.00", "USD")
    assert (told["to_user_email"], told["to_wallet"], told["to_phone"]) == (payee.email, None, None)
    assert told["from_wallet"] == str(wallet_of(payer).pk)
    path = f"{SCHEDULES}{told['id']}/"
    assert client.get(path).json() == told

    services.run_due_schedules()
    shown = client.get(path).json()
    [run] = shown["runs"]
    assert set(run) == {"occurrence", "due_at", "status", "transaction", "code", "created_at"}
    assert (run["status"], run["code"], run["due_at"]) == ("posted", None, told["start_at"])
    assert shown["next_run_at"] > told["next_run_at"]
    transaction = client.get(f"/api/transactions/transactions/{run['transaction']}/").json()
    assert (transaction["description"], transaction["metadata"]) == ("rent", {"flat": "3"})
    assert client.get(SCHEDULES).json()["results"] == [shown]

    canceled = client.delete(path)
    assert canceled.status_code == 200
    assert (canceled.json()["status"], canceled.json()["next_run_at"]) == ("canceled", None)
    assert canceled.json()["canceled_at"].endswith("Z")
    assert client.delete(path).content == canceled.content
    again = client.post(SCHEDULES, body)
    assert again.content == made.content, "a retry is told what the first request was told"
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in made
    assert balance_of(payer) == "9.00"


def test_a_rule_alone_starts_now_and_a_start_alone_is_once() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    told = client.post(SCHEDULES, body_for(payee, start_at=..., rrule="FREQ=DAILY")).json()
    assert abs(datetime.datetime.fromisoformat(told["start_at"]).timestamp() - time.time()) < 5
    assert (told["next_run_at"], told["timezone"]) == (told["start_at"], "UTC")
    once = client.post(SCHEDULES, body_for(payee, start_at="2027-01-31T09:00:00+01:00")).json()
    assert (once["rrule"], once["next_run_at"]) == (None, "2027-01-31T08:00:00.000000Z")


def test_the_time_of_day_is_that_of_the_zone() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    body = body_for(
        payee,
        start_at="2027-03-27T09:00:00+01:00",
        rrule="FREQ=DAILY;BYDAY=SU",
        timezone="Europe/Berlin",
    )
    told = api_client(payer).post(SCHEDULES, body).json()
    assert told["next_run_at"] == "2027-03-28T07:00:00.000000Z"


_BAD: dict[str, list[Any]] = {
    "start_at": [
        *("2027-01-31", "2027-01-31T09:00:00", "tomorrow", "", None, 5),
        *("2027-02-30T09:00:00Z", "2027-01-31T09:00:00.5Z", "2020-01-01T00:00:00Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2099-01-01T00:00:00Z"),
    ],
    "rrule": [
        *("", "daily", "FREQ=HOURLY", "FREQ=DAILY;BYHOUR=1", "FREQ=DAILY;" * 20, None, 5, []),
        *("FREQ=DAILY\x00", "FREQ=DAILY;COUNT=0", "FREQ=DAILY;COUNT=2;UNTIL=20990101T000000Z"),
        *("FREQ=DAILY;UNTIL=20260101T000000Z", "FREQ=DAILY;UNTIL=20990101"),
        *("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"),
    ],
    "timezone": ["", "Mars/Base", "+01:00", "../UTC", None, 5, "x" * 65],
    "amount": ["0", "1.001", 1, "-1.00", None],
    "currency": ["usd", "XXX"],
    **{name: [True] for name in ("hold", "expires_in", "status", "next_run_at")},
    "metadata": [{"a": 1}],
    "description": ["x" * 501],
}
BAD = [(field, value) for field, values in _BAD.items() for value in values]


@pytest.mark.parametrize(("field", "value"), BAD, ids=lambda value: ascii(value)[:40])
def test_a_bad_member_names_its_field_and_plans_nothing(field: str, value: Any) -> None:
    payer, payee = make_payer("0"), make_payee()
    started = time.monotonic()
    response = api_client(payer).post(SCHEDULES, body_for(payee, **{field: value}))
    assert time.monotonic() - started < 2
    problem = require_problem(response, 400, "validation_error")
    assert any(name.split(".")[0] == field for name in problem["errors"]), problem
    assert not Schedule.objects.filter(owner=payer).exists()


def test_a_time_and_one_recipient_and_a_key_are_needed() -> None:
    payer, payee = make_payer("0"), make_payee()
    client = api_client(payer)
    for missing, code in (
        ("start_at", "validation_error"),
        ("to_user_email", "validation_error"),
        ("amount", "validation_error"),
        ("idempotency_key", "idempotency_key_required"),
    ):
        response = client.post(SCHEDULES, body_for(payee, **{missing: ...}))
        assert missing in require_problem(response, 400, code)["errors"]
    response = client.post(SCHEDULES, body_for(payee), headers={"Idempotency-Key": "other"})
    require_problem(response, 400, "invalid_idempotency_key")
    require_problem(client.post(SCHEDULES, [1]), 400, "validation_error")


def test_a_key_with_another_request_is_refused() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, body = api_client(payer), body_for(payee)
    assert client.post(SCHEDULES, body).status_code == 201
    for change in ({"amount": "2.00"}, {"rrule": "FREQ=DAILY"}, {"timezone": "UTC"}):
        require_problem(client.post(SCHEDULES, body | change), 422, "idempotency_key_reused")
    assert Schedule.objects.filter(owner=payer).count() == 1
    other, key = make_payer("10.00"), str(body["idempotency_key"])
    mine = api_client(other).post(SCHEDULES, body_for(payee, idempotency_key=key))
    assert mine.status_code == 201, "a key belongs to its caller"


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"to_user_email": "nobody@example.com"}, 404, "recipient_not_found"),
        ({"from_wallet": str(uuid.UUID(int=7))}, 404, "wallet_not_found"),
        ({"currency": "EUR"}, 422, "currency_mismatch"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_could_never_be_paid_is_refused_and_uses_up_no_key(
    members: dict[str, Any], status: int, code: str
) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, body = api_client(payer), body_for(payee)
    require_problem(client.post(SCHEDULES, body | members), status, code)
    assert client.post(SCHEDULES, body).status_code == 201


def test_who_cannot_send_cannot_plan() -> None:
    payer, payee = make_payer("10.00", tier=0), make_payee()
    require_problem(api_client(payer).post(SCHEDULES, body_for(payee)), 403, "kyc_required")
    own = body_for(payer)
    payer = make_payer("10.00")
    own["to_user_email"] = payer.email
    require_problem(api_client(payer).post(SCHEDULES, own), 422, "self_transfer")


def test_guessing_recipients_is_throttled(settings: Any) -> None:
    settings.UNKNOWN_RECIPIENTS_PER_HOUR = 2
    client = api_client(make_payer("0"))
    body = body_for(make_payee(), to_user_email="nobody@example.com")
    for _ in range(2):
        require_problem(client.post(SCHEDULES, body), 404, "recipient_not_found")
    assert int(client.post(SCHEDULES, body)["Retry-After"]) > 0


def test_more_schedules_than_one_may_have_are_refused(settings: Any) -> None:
    settings.SCHEDULES_PER_USER = 1
    payer, payee = make_payer("0"), make_payee()
    client = api_client(payer)
    made = client.post(SCHEDULES, body_for(payee)).json()
    one_more = body_for(payee)
    require_problem(client.post(SCHEDULES, one_more), 409, "too_many_schedules")
    client.delete(f"{SCHEDULES}{made['id']}/")
    assert client.post(SCHEDULES, one_more).status_code == 201, "the refusal used up no key"


def test_other_peoples_schedules_do_not_exist() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    path = f"{SCHEDULES}{api_client(payer).post(SCHEDULES, body_for(payee)).json()['id']}/"
    for user in (payee, make_payer("0")):
        client = api_client(user)
        require_problem(client.get(path), 404, "not_found")
        require_problem(client.delete(path), 404, "not_found")
        assert client.get(SCHEDULES).json()["results"] == []
    for wrong in (f"{SCHEDULES}{uuid.UUID(int=7)}/", f"{SCHEDULES}abc/"):
        require_problem(api_client(payer).get(wrong), 404, "not_found")
    assert Schedule.objects.get(owner=payer).status == "active"


def test_a_schedule_that_is_done_is_not_canceled() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    made = client.post(SCHEDULES, body_for(payee, start_at=at(seconds=-1))).json()
    services.run_due_schedules()
    path = f"{SCHEDULES}{made['id']}/"
    require_problem(client.delete(path), 409, "invalid_state")
    assert client.get(path).json()["status"] == "done"


def test_schedules_are_listed_by_page_and_status() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    ids = [client.post(SCHEDULES, body_for(payee)).json()["id"] for _ in range(3)]
    client.delete(f"{SCHEDULES}{ids[0]}/")
    first = client.get(f"{SCHEDULES}?page_size=2").json()
    assert [row["id"] for row in first["results"]] == ids[:0:-1]
    rest = client.get(first["next"]).json()
    assert [row["id"] for row in rest["results"]] == ids[:1]
    active = client.get(f"{SCHEDULES}?status=active").json()
    assert [row["id"] for row in active["results"]] == ids[:0:-1]
    for query in ("status=x", "page_size=0", "cursor=x", "foo=1", "status=active&status=done"):
        assert client.get(f"{SCHEDULES}?{query}").status_code == 400


def test_a_list_takes_as_many_statements_however_many_runs_there_are(
    statements: list[str], settings: Any
) -> None:
    settings.SCHEDULE_START_TOLERANCE = datetime.timedelta(days=40)
    payer, payee = make_payer("100.00"), make_payee()
    client = api_client(payer)
    counts = []
    for past in (0, 15, 30):
        body = body_for(payee, start_at=at(days=-past, seconds=-1), rrule="FREQ=DAILY")
        client.post(SCHEDULES, body)
        services.run_due_schedules()
        statements.clear()
        newest = client.get(SCHEDULES).json()["results"][0]
        counts.append(len(statements))
        assert len(newest["runs"]) == min(past + 1, 10)
        days = [run["occurrence"] for run in newest["runs"]]
        assert days == sorted(days, reverse=True)
    assert len(set(counts)) == 1


def test_without_a_token_nothing_is_said_and_other_methods_are_none() -> None:
    path = f"{SCHEDULES}{uuid.UUID(int=7)}/"
    for method, address in (("get", SCHEDULES), ("post", SCHEDULES), ("delete", path)):
        require_problem(getattr(APIClient(), method)(address), 401, "not_authenticated")
    client = api_client(make_payee())
    for method, address in (("put", SCHEDULES), ("delete", SCHEDULES), ("patch", path)):
        require_problem(getattr(client, method)(address), 405, "method_not_allowed")


def test_the_schema_tells_all_of_it() -> None:
    answer = APIClient().get("/api/schema/", headers={"Accept": "application/json"})
    schema = json.loads(answer.content)
    assert {"get", "post"} <= set(schema["paths"][SCHEDULES])
    assert {"get", "delete"} <= set(schema["paths"][f"{SCHEDULES}{{schedule_id}}/"])
    parts = schema["components"]["schemas"]
    assert set(parts["Schedule"]["properties"]) == MEMBERS
    asked = set(parts["ScheduleOrderRequest"]["properties"])
    assert {"start_at", "rrule", "timezone", "to_phone", "from_wallet"} <= asked
    assert not asked & {"hold", "expires_in"}
