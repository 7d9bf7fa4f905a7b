"""Reversals as docs/api.md promises them."""

import uuid

import pytest
from django.core.cache import cache

from tests.contract.hold_calls import BASE, act, hold, shown
from tests.contract.test_transfer_over_http import MEMBERS, TRANSFER, body_for, require_problem
from transactions import services
from transactions.models import Transaction
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import standing
from users.models import User
from users.tests.factories import api_client, make_staff
from wallet.services import freeze_wallet

pytestmark = pytest.mark.usefixtures("committed")


def paid(amount: str = "10.00") -> tuple[User, User, str]:
    payer, payee = make_payer("100.00"), make_payee()
    told = api_client(payer).post(TRANSFER, body_for(payee, amount), format="json").json()
    return payer, payee, told["id"]


@pytest.mark.smoke
def test_a_refund_names_what_it_gives_back() -> None:
    payer, payee, transfer_id = paid()
    response = act(api_client(payee), transfer_id, "reverse", amount="4.00", reason="too much")
    told = response.json()
    assert (response.status_code, set(told)) == (201, MEMBERS)
    assert (told["kind"], told["status"], told["parent"]) == ("reversal", "posted", transfer_id)
    assert (told["description"], told["balance_after"]) == ("too much", "6.00")
    assert told["from_user_email"] == payee.email
    for user in (payer, payee):
        original = shown(api_client(user), transfer_id)
        assert (original["status"], original["reversed_amount"]) == ("posted", "4.00")
    assert (balance_of(payer), balance_of(payee)) == ("94.00", "6.00")


def test_refunds_in_parts_count_down_to_nothing() -> None:
    payer, payee, transfer_id = paid()
    client = api_client(payee)
    for _ in range(3):
        assert act(client, transfer_id, "reverse", amount="3.33").status_code == 201
    before, key = standing(payer, payee), uuid.uuid4().hex
    refused = act(client, transfer_id, "reverse", amount="0.02", idempotency_key=key)
    problem = require_problem(refused, 422, "reversal_exceeds_original")
    assert (problem["remaining"], problem["currency"]) == ("0.01", "USD")
    cache.clear()
    again = act(client, transfer_id, "reverse", amount="0.02", idempotency_key=key)
    assert again.content == refused.content
    assert standing(payer, payee) == before
    assert act(client, transfer_id, "reverse").json()["amount"] == "0.01"
    require_problem(act(client, transfer_id, "reverse"), 422, "reversal_exceeds_original")


@pytest.mark.parametrize("flush", [False, True])
def test_a_retry_gets_the_same_bytes(flush: bool) -> None:
    _, payee, transfer_id = paid()
    client, key = api_client(payee), uuid.uuid4().hex
    first = act(client, transfer_id, "reverse", amount="4.00", idempotency_key=key)
    act(client, transfer_id, "reverse")
    if flush:
        cache.clear()
    again = act(client, transfer_id, "reverse", amount="4.00", idempotency_key=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again["Idempotency-Replayed"] == "true"
    changed = act(client, transfer_id, "reverse", amount="5.00", idempotency_key=key)
    require_problem(changed, 422, "idempotency_key_reused")


def test_who_may_reverse() -> None:
    payer, payee, transfer_id = paid()
    before = standing(payer, payee)
    require_problem(act(api_client(payer), transfer_id, "reverse"), 403, "permission_denied")
    for stranger in (make_payee(), make_staff(), make_staff("transactions.capture_hold")):
        require_problem(act(api_client(stranger), transfer_id, "reverse"), 404, "not_found")
    require_problem(act(api_client(payee), str(uuid.uuid4()), "reverse"), 404, "not_found")
    require_problem(api_client().post(f"{BASE}{transfer_id}/reverse/"), 401, "not_authenticated")
    assert standing(payer, payee) == before
    staff = api_client(make_staff("transactions.reverse_transaction"))
    told = act(staff, transfer_id, "reverse", reason="fraud")
    assert (told.status_code, told.json()["balance_after"]) == (201, None)


def test_what_was_spent_is_refused_and_never_overdrawn() -> None:
    payer, payee, transfer_id = paid()
    services.transfer(instruct(payee, payer, "4.00"))
    before = standing(payer, payee)
    refused = act(api_client(payee), transfer_id, "reverse")
    require_problem(refused, 422, "insufficient_funds")
    assert standing(payer, payee) == before


def test_a_frozen_wallet_gives_nothing_back() -> None:
    _, payee, transfer_id = paid()
    freeze_wallet(wallet_id=wallet_of(payee).pk, acting_user=payee, reason="test")
    require_problem(act(api_client(payee), transfer_id, "reverse"), 422, "wallet_frozen")


def test_what_is_no_transfer_is_not_reversed() -> None:
    payer, payee, transfer_id = paid()
    deposit = Transaction.objects.get(to_wallet__user=payer)
    require_problem(act(api_client(payer), str(deposit.pk), "reverse"), 409, "invalid_state")
    reversal = act(api_client(payee), transfer_id, "reverse").json()["id"]
    refused = act(api_client(payer), reversal, "reverse")
    require_problem(refused, 409, "invalid_state")


def test_a_capture_is_given_back_as_its_hold() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client, hold_id = api_client(payee), hold(api_client(payer), payee, "60.00")
    require_problem(act(client, hold_id, "reverse"), 422, "reversal_exceeds_original")
    act(client, hold_id, "capture", amount="20.00")
    [capture] = Transaction.objects.filter(parent_id=uuid.UUID(hold_id), status="posted")
    told = act(client, str(capture.pk), "reverse").json()
    assert (told["parent"], told["amount"]) == (hold_id, "20.00")
    assert shown(client, hold_id)["reversed_amount"] == "20.00"
    assert balance_of(payer) == "100.00"
