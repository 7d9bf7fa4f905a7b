"""Holds as docs/api.md promises them: made, captured, voided, alone and in groups."""

import datetime
import uuid
from typing import Any

import pytest
from django.core.cache import cache

from tests.contract.hold_calls import BASE, act, hold, post, shown
from tests.contract.test_transfer_over_http import (
    MEMBERS,
    TRANSFER,
    body_for,
    require_problem,
)
from transactions.models import Transaction
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import make_hold, make_overdue_hold, standing
from users.tests.factories import api_client, make_staff

pytestmark = pytest.mark.usefixtures("committed")


@pytest.mark.smoke
def test_a_hold_is_pending_until_its_recipient_takes_it() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    response = post(
        api_client(payer), TRANSFER, to_user_email=payee.email, amount="60.00", hold=True
    )
    told = response.json()
    assert (response.status_code, set(told)) == (201, MEMBERS)
    assert (told["status"], told["posted_at"], told["balance_after"]) == ("pending", None, None)
    made, expires = (
        datetime.datetime.fromisoformat(told[name]) for name in ("created_at", "expires_at")
    )
    assert expires - made == datetime.timedelta(days=7)
    wallet = api_client(payer).get("/api/wallet/").json()
    assert (wallet["balance"], wallet["held"], wallet["available"]) == ("100.00", "60.00", "40.00")
    captured = act(api_client(payee), told["id"], "capture")
    after = captured.json()
    assert (captured.status_code, set(after)) == (200, MEMBERS)
    assert (after["id"], after["status"], after["captured_amount"]) == (
        told["id"],
        "posted",
        "60.00",
    )
    assert after["balance_after"] == "60.00"
    assert after["posted_at"].endswith("Z")
    assert (balance_of(payer), balance_of(payee)) == ("40.00", "60.00")


@pytest.mark.parametrize("expires_in", [1, 3600, 30 * 86_400])
def test_a_hold_says_how_long_it_lasts(expires_in: int) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    body = body_for(payee, hold=True, expires_in=expires_in)
    told = api_client(payer).post(TRANSFER, body, format="json").json()
    made, expires = (
        datetime.datetime.fromisoformat(told[name]) for name in ("created_at", "expires_at")
    )
    assert expires - made == datetime.timedelta(seconds=expires_in)


_NO_SECONDS: list[Any] = [0, -1, 30 * 86_400 + 1, 1.5, 1.0, "60", True, None, [], 10**30]
_NO_FLAGS: list[Any] = ["true", 1, 0, None, "yes", [], {}]
BAD_HOLDS: list[tuple[str, dict[str, Any]]] = [
    *[("expires_in", {"hold": True, "expires_in": bad}) for bad in _NO_SECONDS],
    ("expires_in", {"expires_in": 60}),
    ("expires_in", {"hold": False, "expires_in": 60}),
    *[("hold", {"hold": bad}) for bad in _NO_FLAGS],
]


@pytest.mark.parametrize(("field", "members"), BAD_HOLDS, ids=repr)
def test_a_bad_hold_names_its_field(field: str, members: dict[str, Any]) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    response = api_client(payer).post(TRANSFER, body_for(payee, **members), format="json")
    assert field in require_problem(response, 400, "validation_error")["errors"]
    assert (balance_of(payer), wallet_of(payer).held) == ("10.00", 0)


def test_the_first_answer_of_a_hold_is_told_again_whatever_became_of_it() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, body = api_client(payer), body_for(payee, hold=True)
    first = client.post(TRANSFER, body, format="json")
    act(api_client(payee), first.json()["id"], "capture")
    cache.clear()
    again = client.post(TRANSFER, body, format="json")
    assert (again.status_code, again.content) == (201, first.content)
    assert again["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("verb", ["capture", "void"])
def test_a_retry_gets_the_same_bytes(verb: str, flush: bool) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, hold_id = api_client(payee), hold(api_client(payer), payee, "6.00")
    body = {"idempotency_key": uuid.uuid4().hex}
    if verb == "capture":
        body |= {"amount": "2.00", "final": False}  # type: ignore[dict-item]
    first = act(client, hold_id, verb, **body)
    assert first.status_code == 200
    if verb == "capture":
        act(client, hold_id, "capture")
        act(client, hold_id, "reverse", amount="1.00")
    if flush:
        cache.clear()
    again = act(client, hold_id, verb, **body)
    assert (again.status_code, again.content) == (200, first.content)
    assert again["Idempotency-Replayed"] == "true"
    other = act(client, hold_id, verb, **body | {"amount": "3.00"} if verb == "capture" else {})
    if verb == "capture":
        require_problem(other, 422, "idempotency_key_reused")


def test_captures_in_parts_and_what_each_says() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client, hold_id = api_client(payee), hold(api_client(payer), payee, "100.00")
    for captured in ("30.00", "60.00"):
        told = act(client, hold_id, "capture", amount="30.00", final=False).json()
        assert (told["status"], told["captured_amount"]) == ("pending", captured)
        assert told["posted_at"] is None
    problem = require_problem(
        act(client, hold_id, "capture", amount="50.00"), 422, "capture_exceeds_hold"
    )
    assert (problem["remaining"], problem["currency"]) == ("40.00", "USD")
    told = act(client, hold_id, "capture", amount="10.00").json()
    assert (told["status"], told["captured_amount"]) == ("posted", "70.00")
    assert balance_of(payer) == "30.00"


@pytest.mark.parametrize("final", [True, False])
def test_of_what_was_captured_in_part_the_rest_is_voided(final: bool) -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client, hold_id = api_client(payee), hold(api_client(payer), payee, "100.00")
    act(client, hold_id, "capture", amount="30.00", final=final)
    voided = act(client, hold_id, "void")
    if final:
        problem = require_problem(voided, 422, "hold_not_pending")
        assert problem["hold_status"] == "posted"
    else:
        told = voided.json()
        assert (told["status"], told["captured_amount"]) == ("voided", "30.00")
    assert (balance_of(payer), wallet_of(payer).held) == ("70.00", 0)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [("capture", "capture", "posted"), ("capture", "void", "posted")]
    + [("void", "capture", "voided"), ("void", "void", "voided")],
)
def test_a_hold_ends_once_and_says_how(first: str, second: str, status: str) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, hold_id = api_client(payee), hold(api_client(payer), payee, "6.00")
    assert act(client, hold_id, first).status_code == 200
    before, key = standing(payer, payee), uuid.uuid4().hex
    refused = act(client, hold_id, second, idempotency_key=key)
    assert require_problem(refused, 422, "hold_not_pending")["hold_status"] == status
    assert act(client, hold_id, second, idempotency_key=key).content == refused.content
    assert standing(payer, payee) == before


def test_who_may_capture_and_void() -> None:
    payer, payee, stranger = make_payer("20.00"), make_payee(), make_payee()
    hold_id = hold(api_client(payer), payee, "6.00")
    before = standing(payer, payee)
    for verb, code in (("capture", "permission_denied"), ("void", "hold_not_expired")):
        require_problem(act(api_client(payer), hold_id, verb), 403, code)
        require_problem(act(api_client(stranger), hold_id, verb), 404, "not_found")
        require_problem(act(api_client(make_staff()), hold_id, verb), 404, "not_found")
        require_problem(act(api_client(payee), str(uuid.uuid4()), verb), 404, "not_found")
        require_problem(api_client().post(f"{BASE}{hold_id}/{verb}/"), 401, "not_authenticated")
        require_problem(
            api_client(payee).get(f"{BASE}{hold_id}/{verb}/"), 405, "method_not_allowed"
        )
    assert standing(payer, payee) == before
    for verb, status in (("capture", "posted"), ("void", "voided")):
        staff = api_client(make_staff(f"transactions.{verb}_hold"))
        told = act(staff, hold(api_client(payer), payee, "6.00"), verb).json()
        assert (told["status"], told["balance_after"]) == (status, None)


def test_the_payer_gets_back_what_has_expired() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = str(make_overdue_hold(payer, payee, "6.00"))
    refused = act(api_client(payee), hold_id, "void")
    assert require_problem(refused, 422, "hold_not_pending")["hold_status"] == "expired"
    told = act(api_client(payer), hold_id, "void")
    assert (told.status_code, told.json()["status"]) == (200, "expired")
    hold_id = str(make_overdue_hold(payer, payee, "6.00"))
    told = act(api_client(payer), hold_id, "void")
    assert (told.status_code, told.json()["status"]) == (200, "voided")


def test_a_void_needs_no_key_and_happens_once() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    client, hold_id = api_client(payee), hold(api_client(payer), payee, "6.00")
    first = client.post(f"{BASE}{hold_id}/void/")
    again = client.post(f"{BASE}{hold_id}/void/", {}, format="json")
    assert (first.status_code, again.content) == (200, first.content)
    assert again["Idempotency-Replayed"] == "true"
    assert Transaction.objects.filter(parent_id=uuid.UUID(hold_id)).count() == 1


BAD_BODIES: list[tuple[str, str, dict[str, Any]]] = [
    *[("capture", "amount", {"amount": bad}) for bad in ("0", "-1", 1, None, "1.001", "1e2", "")],
    *[("capture", "final", {"final": bad}) for bad in ("false", 0, None)],
    *[(verb, "foo", {"foo": 1}) for verb in ("capture", "void", "reverse")],
    *[("reverse", "amount", {"amount": bad}) for bad in ("0", "-1", 1, None, "1.001")],
    *[("reverse", "reason", {"reason": bad}) for bad in ("x" * 501, 5, None, "a\x00")],
    ("void", "amount", {"amount": "1.00"}),
]


@pytest.mark.parametrize(("verb", "field", "body"), BAD_BODIES, ids=lambda v: repr(v)[:40])
def test_a_bad_body_names_its_field(verb: str, field: str, body: dict[str, Any]) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = str(make_hold(payer, payee, "6.00"))
    response = act(api_client(payee), hold_id, verb, **body)
    assert field in require_problem(response, 400, "validation_error")["errors"]
    assert wallet_of(payer).held == 6


def test_a_capture_needs_a_key() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    hold_id = hold(api_client(payer), payee, "6.00")
    for path, body in (
        (f"{BASE}{hold_id}/capture/", {}),
        (f"{BASE}{hold_id}/reverse/", {}),
        (f"{BASE}holds/capture/", {"ids": [hold_id]}),
        (f"{BASE}holds/void/", {"ids": [hold_id]}),
    ):
        response = api_client(payee).post(path, body, format="json")
        require_problem(response, 400, "idempotency_key_required")
    response = act(api_client(payee), hold_id, "void", idempotency_key="a b")
    require_problem(response, 400, "invalid_idempotency_key")


def test_more_holds_than_a_wallet_may_have_are_refused(settings: Any) -> None:
    settings.HOLDS_PER_WALLET = 2
    payer, payee = make_payer("10.00"), make_payee()
    client = api_client(payer)
    made = [hold(client, payee, "1.00") for _ in range(2)]
    body = {"to_user_email": payee.email, "amount": "1.00", "idempotency_key": uuid.uuid4().hex}
    refused = post(client, TRANSFER, hold=True, **body)
    assert require_problem(refused, 409, "too_many_holds")["limit"] == 2
    transfers = {"mode": "independent", "transfers": [{**body, "hold": True}]}
    [result] = client.post(f"{BASE}batch/", transfers, format="json").json()["results"]
    assert result["error"]["code"] == "too_many_holds"
    assert post(client, TRANSFER, to_user_email=payee.email, amount="1.00").status_code == 201
    assert act(api_client(payee), made[0], "void").status_code == 200
    assert post(client, TRANSFER, hold=True, **body).status_code == 201, "no key was used up"


def test_holds_that_ran_out_make_room(settings: Any) -> None:
    settings.HOLDS_PER_WALLET = 1
    payer, payee = make_payer("10.00"), make_payee()
    make_overdue_hold(payer, payee, "4.00")
    hold(api_client(payer), payee, "10.00")
    assert standing(payer)[0][:2] == ("10.00", "10.00")


def test_a_group_is_captured_or_voided_as_a_whole() -> None:
    payer, payee = make_payer("20.00"), make_payee()
    client = api_client(payee)
    for verb, status in (("capture", "posted"), ("void", "voided")):
        ids = [hold(api_client(payer), payee, "2.00") for _ in range(3)]
        body = {"ids": ids, "idempotency_key": uuid.uuid4().hex}
        first = post(client, f"{BASE}holds/{verb}/", **body)
        assert first.status_code == 200
        results = first.json()["results"]
        assert [(row["id"], row["status"]) for row in results] == [(pk, status) for pk in ids]
        cache.clear()
        again = post(client, f"{BASE}holds/{verb}/", **body)
        assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
    assert (balance_of(payee), wallet_of(payer).held) == ("6.00", 0)


def test_one_bad_hold_stops_a_group() -> None:
    payer, payee = make_payer("20.00"), make_payee()
    client = api_client(payee)
    ids = [hold(api_client(payer), payee, "2.00") for _ in range(3)]
    act(client, ids[1], "void")
    before = standing(payer, payee)
    body = {"ids": ids, "idempotency_key": uuid.uuid4().hex}
    refused = post(client, f"{BASE}holds/capture/", **body)
    problem = require_problem(refused, 422, "hold_not_pending")
    assert (problem["hold"], problem["hold_status"]) == (ids[1], "voided")
    cache.clear()
    assert post(client, f"{BASE}holds/capture/", **body).content == refused.content
    assert standing(payer, payee) == before
    strange = {"ids": [ids[0], str(uuid.uuid4())]}
    require_problem(post(client, f"{BASE}holds/capture/", **strange), 404, "not_found")
    require_problem(
        post(api_client(payer), f"{BASE}holds/capture/", ids=ids), 403, "permission_denied"
    )


_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize(
    "ids", [[], [_ID, _ID], [_ID, _ID.upper()], ["x"], [5], _ID, None, {}, [_ID] * 101], ids=repr
)
@pytest.mark.parametrize("verb", ["capture", "void"])
def test_a_group_names_up_to_100_holds_once_each(verb: str, ids: Any) -> None:
    response = post(api_client(make_payee()), f"{BASE}holds/{verb}/", ids=ids)
    errors = require_problem(response, 400, "validation_error")["errors"]
    assert any(name.split(".")[0] == "ids" for name in errors)


def test_a_fee_is_held_and_shown_as_what_was_taken(settings: Any) -> None:
    settings.FEES = {"transfer": {"*": {"*": {"percent": "1"}}}}
    payer, payee = make_payer("110.00"), make_payee()
    hold_id = hold(api_client(payer), payee, "100.00")
    assert shown(api_client(payer), hold_id)["fee"] == "1.00"
    assert api_client(payer).get("/api/wallet/").json()["available"] == "9.00"
    told = act(api_client(payee), hold_id, "capture", amount="50.00").json()
    assert told["fee"] == "0.50"
    assert balance_of(payer) == "59.50"
