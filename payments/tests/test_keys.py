"""An idempotency key makes an intent or moves money, and never both."""

import datetime
import importlib
import threading
import time
import uuid
from collections.abc import Callable
from types import ModuleType
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import connection, connections
from django.utils import timezone

from payments import services
from payments.models import PaymentIntent
from payments.services.accounts import cash_wallet_id
from payments.tests.fakes import FakeProvider, dollars, make_paid_intent, make_payout
from transactions import services as ledger
from transactions.declines import BatchRefused, IdempotencyKeyReused
from transactions.instructions import Recipient, Request
from transactions.ledger import Journal
from transactions.models import ClaimedKey, Schedule
from transactions.services import schedules
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
from wallet.services import freeze_wallet, open_wallet

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


def meet_at(
    monkeypatch: pytest.MonkeyPatch,
    holder: object,
    name: str,
    first: Callable[[], object],
    other: Callable[[], object],
) -> object:
    """Begin the other one where the first calls this function of the holder's, its key found free;
    returns what the other one came to."""
    answers: list[object] = []

    def act() -> None:
        try:
            answers.append(other())
        except IdempotencyKeyReused as reused:
            answers.append(reused)
        finally:
            connections.close_all()

    thread = threading.Thread(target=act)
    original = getattr(holder, name)

    def call_second(*arguments: Any) -> object:
        monkeypatch.setattr(holder, name, original)
        thread.start()
        deadline = time.monotonic() + 10
        while thread.is_alive() and not somebody_waits_for_us():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return original(*arguments)

    monkeypatch.setattr(holder, name, call_second)
    first()
    thread.join(timeout=10)
    [answer] = answers
    return answer


@pytest.mark.parametrize("what", ["intent", "schedule"])
def test_a_transfer_from_another_wallet_beside_a_claim_waits_and_finds_its_key_used(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch, what: str
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
    came_to = meet_at(
        monkeypatch,
        *claim_of(what, payer, key),
        lambda: ledger.transfer_many([beside])[0],
    )
    assert isinstance(came_to, IdempotencyKeyReused)


@pytest.mark.parametrize("what", ["intent", "schedule"])
def test_an_operators_refund_beside_a_claim_of_theirs_waits_and_finds_its_key_used(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    paid, operator, key = make_paid_intent(fake), make_payee(), uuid.uuid4().hex
    request = ask(operator, key, of="out")
    came_to = meet_at(
        monkeypatch,
        *claim_of(what, operator, key),
        lambda: services.create_refund(intent_id=paid.pk, request=request, is_operator=True),
    )
    assert isinstance(came_to, IdempotencyKeyReused)


def claim_of(what: str, user: User, key: str) -> tuple[ModuleType, str, Callable[[], object]]:
    """Where the key is claimed, and what claims it."""
    name = "claim_key_within"
    if what == "intent":
        return ledger, name, lambda: make_intent_with(user, key)
    return schedules, name, lambda: plan(user, key)


def test_a_posting_beside_a_refused_intent_waits_and_finds_its_key_used(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it moves none of the caller's money."""
    user, payee, key = make_payee(), make_payee(), uuid.uuid4().hex
    freeze_wallet(wallet_id=wallet_of(user).pk, acting_user=user, reason="test")
    came_to = meet_at(
        monkeypatch,
        Journal,
        "write",
        lambda: services.create_intent(user=user, amount="5.00", request=ask(user, key, of="in")),
        lambda: ledger.deposit(
            source_id=cash_wallet_id(fake.name, "USD"),
            target_id=wallet_of(payee).pk,
            amount=dollars("7.00"),
            request=ask(user, key, of="beside"),
        ),
    )
    assert isinstance(came_to, IdempotencyKeyReused)
    assert balance_of(payee) == "0.00"


def plan(user: User, key: str) -> Schedule:
    return ledger.create_schedule(
        ledger.ScheduleInstruction(
            transfer=instruct(user, make_payee(), "1.00", idempotency_key=key),
            start_at=timezone.now() + HOUR,
            rrule="",
            timezone="UTC",
        )
    ).schedule


def test_the_key_of_a_schedule_serves_nothing_else_and_no_other_key_makes_one(
    fake: FakeProvider,
) -> None:
    user, payee = make_payer("100.00"), make_payee()
    planned, of_intent, of_payout, of_transfer = (uuid.uuid4().hex for _ in range(4))
    plan(user, planned)
    make_intent_with(user, of_intent)
    make_payout(user, request=ask(user, of_payout))
    ledger.transfer(instruct(user, payee, "1.00", idempotency_key=of_transfer))
    calls: list[Callable[[], object]] = [
        lambda: make_intent_with(user, planned),
        lambda: make_payout(user, request=ask(user, planned)),
        lambda: ledger.transfer(instruct(user, payee, "1.00", idempotency_key=planned)),
        *(lambda key=key: plan(user, key) for key in (of_intent, of_payout, of_transfer)),
    ]
    for call in calls:
        with pytest.raises(IdempotencyKeyReused):
            call()
    assert balance_of(user) == "99.00"
    assert Schedule.objects.filter(owner=user).count() == 1


def test_keys_from_before_they_were_claimed_are_claimed_by_the_migrations(
    fake: FakeProvider, owner: "psycopg.Connection[Any]"
) -> None:
    user, payee = make_payer("100.00"), make_payee()
    planned, of_intent, twice = (uuid.uuid4().hex for _ in range(3))
    for key in (planned, twice):
        plan(user, key)
    make_intent_with(user, of_intent)
    owner.execute("DELETE FROM transactions_claimedkey WHERE caller_id = %s", [user.pk])
    owner.commit()
    # A key that a schedule and a transfer have, as it could be then.
    ledger.transfer(instruct(user, payee, "1.00", idempotency_key=twice))
    for module in (
        "transactions.migrations.0012_claimed_schedule_keys",
        "payments.migrations.0005_claimed_intent_keys",
    ):
        for _ in range(2):
            importlib.import_module(module).claim(apps, None)
    claimed = ClaimedKey.objects.filter(caller=user).values_list("idempotency_key", flat=True)
    assert sorted(claimed) == sorted([planned, of_intent])


def somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
            " AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        [(is_waiting,)] = cursor.fetchall()
    return bool(is_waiting)
