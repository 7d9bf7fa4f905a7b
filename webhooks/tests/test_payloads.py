"""Each side of a transaction is told what it may see of it, as it was then."""

import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.database import exactly_once
from fintech_core.money import Money
from tests.contract.test_transfer_over_http import TRANSFER
from transactions import services as money
from transactions.instructions import Recipient, TransactionRecord
from transactions.models import Transaction
from transactions.serializers import represent_transaction
from transactions.tests.exchange_factories import open_pot
from transactions.tests.factories import instruct, make_payee, make_payer, wallet_of
from transactions.tests.hold_factories import ask, make_hold, make_overdue_hold
from users.models import User
from users.tests.factories import api_client, make_staff
from wallet.models import WalletKind
from wallet.services import platform_wallet_id
from webhooks import payloads, tasks, telling
from webhooks.models import Endpoint, UntoldAnnouncement, WebhookEvent
from webhooks.tests.factories import fan_out, make_endpoint

pytestmark = pytest.mark.usefixtures("committed")


def _listening(user: User) -> User:
    make_endpoint(user)
    return user


def _told(owner: User | None, *about: User) -> list[dict[str, Any]]:
    """What the owner (or the platform) was told of these users' transactions, in order."""
    fan_out()
    ids = Transaction.objects.filter(from_wallet__owner__in=about).values_list("pk", flat=True)
    also = Transaction.objects.filter(to_wallet__owner__in=about).values_list("pk", flat=True)
    events = WebhookEvent.objects.filter(
        owner_id=owner.pk if owner else None, announcement_id__in=[*ids, *also]
    )
    return [json.loads(event.body) for event in events.order_by("occurred_at", "id")]


def test_each_side_is_told_of_a_transfer_with_its_own_balance_alone() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    _listening(payer)
    _listening(payee)
    response = api_client(payer).post(
        TRANSFER,
        {"to_user_email": payee.email, "amount": "10.00", "idempotency_key": uuid.uuid4().hex},
    )
    [sent] = [e for e in _told(payer, payer) if e["data"]["kind"] == "transfer"]
    [received] = _told(payee, payee)
    assert sent["type"] == received["type"] == "transaction.posted"
    assert sent["sequence"] == received["sequence"] == 1
    assert sent["data"] == response.json()
    assert sent["data"]["balance_after"] == "90.00"
    assert received["data"] == {**response.json(), "balance_after": "10.00"}
    assert sent["id"] != received["id"]


def test_a_transfer_between_own_wallets_is_told_once() -> None:
    owner = _listening(make_payer("50.00"))
    pot = open_pot(owner)
    money.transfer(
        instruct(owner, owner, "5.00", recipient=_recipient(pot.pk)),
    )
    told = [e for e in _told(owner, owner) if e["data"]["kind"] == "transfer"]
    assert [e["data"]["balance_after"] for e in told] == ["45.00"]


def _recipient(wallet_id: uuid.UUID) -> Recipient:
    return Recipient(wallet_id=wallet_id)


def test_a_decline_is_told_to_who_asked_and_to_nobody_else() -> None:
    payer, payee = make_payer("1.00"), make_payee()
    _listening(payer)
    _listening(payee)
    assert money.transfer(instruct(payer, payee, "10.00")).transaction.status == "declined"
    [told] = [e for e in _told(payer, payer) if e["type"] == "transaction.declined"]
    assert told["data"]["decline_code"] == "insufficient_funds"
    assert told["data"]["balance_after"] is None
    assert _told(payee, payer, payee) == []


def test_what_happens_to_a_hold_is_told_of_the_hold_in_order() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    _listening(payer)
    _listening(payee)
    hold_id = make_hold(payer, payee, "30.00")
    client = api_client(payee)
    path = f"/api/transactions/transactions/{hold_id}/"
    first = client.post(
        f"{path}capture/",
        {"amount": "10.00", "final": False, "idempotency_key": uuid.uuid4().hex},
    ).json()
    second = client.post(
        f"{path}capture/", {"amount": "5.00", "idempotency_key": uuid.uuid4().hex}
    ).json()
    told = _told(payee, payee)
    assert [(e["type"], e["sequence"]) for e in told] == [
        ("transaction.pending", 1),
        ("transaction.posted", 2),
        ("transaction.posted", 3),
    ]
    assert {e["data"]["id"] for e in told} == {str(hold_id)}
    assert [e["data"]["status"] for e in told] == ["pending", "pending", "posted"]
    assert told[1]["data"] == first
    assert told[2]["data"] == second
    assert told[1]["data"]["captured_amount"] == "10.00"
    sent = [e for e in _told(payer, payer) if e["data"]["id"] == str(hold_id)]
    assert [e["data"]["balance_after"] for e in sent] == [None, "90.00", "85.00"]
    assert [e["data"]["balance_after"] for e in told] == [None, "10.00", "15.00"]


def test_a_void_and_an_expiry_are_told_of_the_hold() -> None:
    payer, payee = _listening(make_payer("100.00")), make_payee()
    voided, expired = make_hold(payer, payee, "3.00"), make_overdue_hold(payer, payee, "4.00")
    money.void_hold(hold_id=voided, request=ask(payee))
    money.expire_holds()
    told = {(e["type"], e["data"]["id"], e["sequence"]): e["data"] for e in _told(payer, payer)}
    of_void = told["transaction.voided", str(voided), 2]
    of_expiry = told["transaction.expired", str(expired), 2]
    assert (of_void["status"], of_void["captured_amount"]) == ("voided", "0.00")
    assert (of_expiry["status"], of_expiry["amount"]) == ("expired", "4.00")
    assert of_expiry["posted_at"] is None
    assert of_expiry["expires_at"] is not None


def test_money_that_is_paid_out_is_told_of_its_hold() -> None:
    payer = _listening(make_payer("100.00"))
    cash = platform_wallet_id(purpose="cash:test", kind=WalletKind.CASH, currency="USD")

    def hold(amount: str) -> uuid.UUID:
        def work() -> uuid.UUID:
            return money.hold_withdrawal_within(
                source_id=wallet_of(payer).pk,
                target_id=cash,
                amount=Money(Decimal(amount), "USD"),
                request=ask(payer, of=amount),
            ).transaction.id

        return exactly_once(work)

    paid, failed = hold("10.00"), hold("20.00")
    exactly_once(lambda: money.settle_withdrawal_within(paid))
    exactly_once(lambda: money.release_withdrawal_within(failed))
    told = {(e["type"], e["data"]["id"]): e for e in _told(payer, payer)}
    posted, voided = (
        told["transaction.posted", str(paid)],
        told["transaction.voided", str(failed)],
    )
    assert (posted["sequence"], voided["sequence"]) == (2, 2)
    assert (posted["data"]["status"], posted["data"]["captured_amount"]) == ("posted", "10.00")
    assert (voided["data"]["status"], voided["data"]["captured_amount"]) == ("voided", "0.00")
    assert posted["data"]["balance_after"] == "90.00"


def test_told_late_an_event_still_says_what_was_then() -> None:
    """A capture that is told after the hold was reversed and ended shows neither."""
    payer, payee = _listening(make_payer("100.00")), make_payee()
    hold_id = make_hold(payer, payee, "30.00")
    money.capture_hold(hold_id=hold_id, request=ask(payee), amount="10.00", final=False)
    money.void_hold(hold_id=hold_id, request=ask(payee, of="void"))
    money.reverse_transaction(
        transaction_id=hold_id, request=ask(payee, of="reversal"), amount="1.00"
    )
    told = [e for e in _told(payer, payer) if e["data"]["id"] == str(hold_id)]
    assert [(e["sequence"], e["data"]["status"], e["data"]["reversed_amount"]) for e in told] == [
        (1, "pending", "0.00"),
        (2, "pending", "0.00"),
        (3, "voided", "0.00"),
    ]
    [reversal] = [e for e in _told(payer, payer) if e["data"]["kind"] == "reversal"]
    assert (reversal["sequence"], reversal["data"]["parent"]) == (1, str(hold_id))


def test_the_platform_is_told_of_everybody_and_of_nobodys_balance() -> None:
    staff = make_staff("webhooks.manage_platform_endpoints")
    endpoint = make_endpoint(staff, platform=True)
    try:
        payer, payee = make_payer("100.00"), make_payee()
        money.transfer(instruct(payer, payee, "10.00"))
        [told] = [e for e in _told(None, payer) if e["data"]["kind"] == "transfer"]
        assert told["data"]["amount"] == "10.00"
        assert told["data"]["balance_after"] is None
    finally:
        Endpoint.objects.filter(pk=endpoint.pk).update(status="deleted")


def test_a_batch_takes_as_many_queries_however_many_it_tells() -> None:
    payer, payee = _listening(make_payer("100.00")), _listening(make_payee())
    fan_out()

    def queries(transfers: int) -> int:
        for _ in range(transfers):
            money.transfer(instruct(payer, payee, "0.10"))
            hold_id = make_hold(payer, payee, "0.10")
            money.capture_hold(hold_id=hold_id, request=ask(payee))
        with CaptureQueriesContext(connection) as captured:
            telling.tell_endpoints(1_000)
        return len(captured)

    fan_out()
    few = queries(1)
    assert queries(10) == few


def test_what_cannot_be_told_is_set_aside_and_told_once_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payer, payee = make_payer("100.00"), _listening(make_payee())
    ids = [money.transfer(instruct(payer, payee, "1.00")).transaction.id for _ in range(3)]

    def represent(record: TransactionRecord, **options: Any) -> dict[str, Any]:
        if record.id == ids[1]:
            raise LookupError("a bug of ours")
        return represent_transaction(record, **options)

    monkeypatch.setattr(payloads, "represent_transaction", represent)
    told = [uuid.UUID(e["data"]["id"]) for e in _told(payee, payee)]
    assert told == [ids[0], ids[2]]
    aside = UntoldAnnouncement.objects.get(pk=ids[1])
    assert "a bug of ours" in aside.trouble
    monkeypatch.setattr(payloads, "represent_transaction", represent_transaction)
    tasks.prune()
    assert len(_told(payee, payee)) == 3
    assert not UntoldAnnouncement.objects.filter(pk=ids[1]).exists()
