"""An idempotency key makes an intent or moves money, and never both."""

import datetime
import threading
import time
import uuid
from collections.abc import Callable

import pytest
from django.db import connection, connections

from payments import services
from payments.models import PaymentIntent
from payments.tests.fakes import FakeProvider
from transactions import services as ledger
from transactions.declines import BatchRefused, IdempotencyKeyReused
from transactions.instructions import Recipient, Request
from transactions.tests.factories import (
    balance_of,
    instruct,
    make_payee,
    make_payer,
    wallet_of,
)
from transactions.tests.hold_factories import ask
from users.models import User
from wallet.models import Wallet
from wallet.services import open_wallet

HOUR = datetime.timedelta(hours=1)


def make_intent_with(user: User, key: str) -> PaymentIntent:
    made = services.create_intent(user=user, amount="5.00", request=ask(user, key, of="in"))
    assert made.intent is not None
    return made.intent


def convert(user: User, pot: Wallet, request: Request) -> None:
    ledger.convert(
        ledger.ConversionInstruction(
            caller_id=user.pk,
            request=request,
            source_wallet_id=wallet_of(user).pk,
            target_wallet_id=pot.pk,
            amount="1.00",
        )
    )


def test_the_key_of_an_intent_moves_no_money(fake: FakeProvider) -> None:
    payer, payee, operator = make_payer("100.00"), make_payer("100.00"), make_payee()
    pot = open_wallet(owner=payer, currency="USD", name="Pot")
    sent = ledger.transfer(instruct(payee, payer, "9.00")).transaction.id
    held = ledger.transfer(instruct(payee, payer, "9.00", hold_for=HOUR)).transaction.id
    key = uuid.uuid4().hex
    make_intent_with(payer, key)
    make_intent_with(operator, key)
    of_key = instruct(payer, payee, "7.00", idempotency_key=key)
    out, by_operator = ask(payer, key, of="out"), ask(operator, key, of="out")
    calls: list[Callable[[], object]] = [
        lambda: ledger.transfer(of_key),
        lambda: ledger.transfer(instruct(payer, payee, "7.00", idempotency_key=key, hold_for=HOUR)),
        lambda: convert(payer, pot, out),
        lambda: ledger.reverse_transaction(transaction_id=sent, request=out),
        lambda: ledger.reverse_transaction(
            transaction_id=sent, request=by_operator, is_operator=True
        ),
        lambda: ledger.capture_hold(hold_id=held, request=out),
        lambda: ledger.void_hold(hold_id=held, request=out),
        lambda: ledger.void_hold(
            hold_id=held, request=by_operator, is_operator=True, reason="test"
        ),
    ]
    for call in calls:
        with pytest.raises(IdempotencyKeyReused):
            call()
    others = instruct(payer, payee, "1.00")
    refused, went = ledger.transfer_many([of_key, others])
    assert isinstance(refused, IdempotencyKeyReused)
    assert not isinstance(went, IdempotencyKeyReused)
    with pytest.raises(BatchRefused) as caught:
        ledger.transfer_all_or_none([instruct(payer, payee, "1.00"), of_key])
    assert caught.value.facts["index"] == 1
    assert balance_of(payer) == "108.00"


def test_the_key_of_a_transfer_makes_no_intent(fake: FakeProvider) -> None:
    payer, payee, key = make_payer("100.00"), make_payee(), uuid.uuid4().hex
    ledger.transfer(instruct(payer, payee, "7.00", idempotency_key=key))
    with pytest.raises(IdempotencyKeyReused):
        make_intent_with(payer, key)
    assert not PaymentIntent.objects.filter(user=payer).exists()


def test_a_transfer_from_another_wallet_beside_an_intent_waits_and_finds_its_key_used(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer, payee, key = make_payer("100.00"), make_payee(), uuid.uuid4().hex
    euros = open_wallet(owner=payer, currency="EUR", name="Euros")
    target = open_wallet(owner=payee, currency="EUR", name="Euros")
    beside = instruct(
        payer,
        payee,
        "1.00",
        idempotency_key=key,
        source_wallet_id=euros.pk,
        recipient=Recipient(wallet_id=target.pk),
    )
    answers: list[object] = []

    def transfer() -> None:
        try:
            answers.append(ledger.transfer_many([beside])[0])
        finally:
            connections.close_all()

    thread = threading.Thread(target=transfer)
    claim = ledger.claim_key_within

    def claim_second(caller_id: uuid.UUID, idempotency_key: str) -> None:
        """The intent's key was found free; now somebody else comes."""
        thread.start()
        deadline = time.monotonic() + 10
        while thread.is_alive() and not somebody_waits_for_us():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        claim(caller_id, idempotency_key)

    monkeypatch.setattr(ledger, "claim_key_within", claim_second)
    make_intent_with(payer, key)
    thread.join(timeout=10)
    assert [type(answer) for answer in answers] == [IdempotencyKeyReused]


def somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
            " AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        [(is_waiting,)] = cursor.fetchall()
    return bool(is_waiting)
