"""Refunds and payouts as docs/api.md promises them."""

import dataclasses
import uuid
from typing import Any

from payments import services
from payments.providers.base import PayoutState
from payments.tests.fakes import FakeProvider, fake
from tests.contract.payment_calls import (
    INTENTS,
    PAYOUT_MEMBERS,
    PAYOUTS,
    REFUND_MEMBERS,
    paid,
    pay_out,
    refund,
)
from tests.contract.test_transfer_over_http import require_problem
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import standing
from users.tests.factories import api_client, make_staff

__all__ = ["fake"]


def test_refunds_in_parts_count_down(fake: FakeProvider) -> None:
    user = make_payee()
    client = api_client(user)
    intent_id = paid(fake, user, "10.00")
    made = refund(client, intent_id, amount="4.00")
    told = made.json()
    assert (made.status_code, set(told)) == (201, REFUND_MEMBERS)
    assert (told["status"], told["amount"], told["intent"]) == ("pending", "4.00", intent_id)
    assert client.get(f"{INTENTS}{intent_id}/").json()["refunded_amount"] == "4.00"
    assert refund(client, intent_id).json()["amount"] == "6.00"
    require_problem(refund(client, intent_id), 422, "reversal_exceeds_original")
    assert balance_of(user) == "0.00"


def test_staff_who_may_send_a_payment_back(fake: FakeProvider) -> None:
    user = make_payee()
    intent_id = paid(fake, user)
    staff = api_client(make_staff("payments.refund_payment"))
    assert refund(staff, intent_id, amount="5.00").status_code == 201
    assert balance_of(user) == "20.00"


def test_a_payout_is_held_sent_and_posted(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    made = pay_out(client, "40.00")
    told = made.json()
    assert (made.status_code, set(told)) == (201, PAYOUT_MEMBERS)
    assert (told["status"], told["amount"], told["destination"]) == (
        "pending",
        "40.00",
        "acct_test",
    )
    wallet = client.get("/api/wallet/").json()
    assert (wallet["balance"], wallet["held"], wallet["available"]) == ("100.00", "40.00", "60.00")
    payout_id = uuid.UUID(told["id"])
    services.check_payout(payout_id)
    on_its_way = client.post(f"{PAYOUTS}{payout_id}/cancel/", {})
    assert require_problem(on_its_way, 409, "invalid_state")["payment_status"] == "in_transit"
    word = fake.payouts[payout_id] = dataclasses.replace(
        fake.payouts[payout_id], state=PayoutState.PAID
    )
    services.apply_payout("fake", word, fetched=False)
    assert client.get(f"{PAYOUTS}{payout_id}/").json()["status"] == "paid"
    assert client.get("/api/wallet/").json()["balance"] == "60.00"
    shown = client.get(f"/api/transactions/transactions/{told['transaction']}/").json()
    assert (shown["kind"], shown["status"], shown["captured_amount"]) == (
        "withdrawal",
        "posted",
        "40.00",
    )


def test_more_payouts_at_once_than_a_wallet_may_hold_for_are_refused(
    fake: FakeProvider, settings: Any
) -> None:
    settings.HOLDS_PER_WALLET = 1
    client = api_client(make_payer("100.00"))
    assert pay_out(client, "1.00").status_code == 201
    require_problem(pay_out(client, "1.00"), 409, "too_many_holds")


def test_a_payout_is_called_off(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    payout_id = pay_out(client).json()["id"]
    # A body may be left out.
    called_off = client.post(f"{PAYOUTS}{payout_id}/cancel/")
    assert (called_off.status_code, called_off.json()["status"]) == (200, "canceled")
    assert wallet_of(user).held == 0


def test_the_ledgers_own_calls_end_no_payment(fake: FakeProvider) -> None:
    user = make_payer("100.00")
    client = api_client(user)
    base = "/api/transactions/transactions"
    deposit_id = client.get(f"{INTENTS}{paid(fake, user)}/").json()["transaction"]
    hold_id = pay_out(client).json()["transaction"]
    before = standing(user)
    staff = api_client(
        make_staff(
            *(
                f"transactions.{name}"
                for name in ("capture_hold", "void_hold", "reverse_transaction")
            )
        )
    )
    for caller in (client, staff):
        for path in (
            f"{base}/{deposit_id}/reverse/",
            f"{base}/{hold_id}/void/",
            f"{base}/{hold_id}/capture/",
            f"{base}/{hold_id}/reverse/",
        ):
            answer = caller.post(path, {"idempotency_key": uuid.uuid4().hex})
            assert answer.status_code in {403, 409}, (path, answer.content)
    assert standing(user) == before
