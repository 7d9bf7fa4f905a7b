"""When the books do not agree no money moves and all else goes on, until an operator lets it move."""

import io
import uuid
from collections.abc import Iterator

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from events.models import AuditRecord
from fintech_core.exceptions import PostingsHalted
from fintech_core.money import Money
from payments.services import record_deposit
from transactions import tasks
from transactions.models import LedgerHalt, Transaction
from transactions.services import clear_halt, raise_halt
from transactions.services.halts import NoHaltStands
from transactions.tests.factories import balance_of, make_payee, make_payer, wallet_of
from users.models import User
from users.tests.factories import api_client, at_once, make_staff

pytestmark = pytest.mark.usefixtures("evidence")

TRANSFER = "/api/transactions/transactions/transfer/"


@pytest.fixture(autouse=True)
def halts_end_with_the_test(evidence: None) -> Iterator[None]:
    yield
    if LedgerHalt.objects.filter(cleared_at=None).exists():
        clear_halt(acting_user=operator(), reason="the test is over")


def operator() -> User:
    return make_staff("transactions.clear_halt")


def test_a_posting_is_refused_and_uses_up_no_key_until_the_halt_is_cleared() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client = api_client(payer)
    body = {"to_user_email": payee.email, "amount": "10.00", "idempotency_key": uuid.uuid4().hex}
    raise_halt(reason="a row is broken")
    for _ in range(2):
        refused = client.post(TRANSFER, body)
        assert (refused.status_code, refused.json()["code"]) == (503, "postings_halted")
        assert refused.json()["retryable"] is True
        assert int(refused["Retry-After"]) > 0
    assert (balance_of(payer), wallet_of(payer).last_sequence) == ("100.00", 1)
    assert not Transaction.objects.filter(idempotency_key=body["idempotency_key"]).exists()
    clear_halt(acting_user=operator(), reason="the row is put right")
    answer = client.post(TRANSFER, body)
    assert (answer.status_code, balance_of(payer)) == (201, "90.00")
    assert "Idempotency-Replayed" not in answer


def test_a_deposit_is_refused_too() -> None:
    payee = make_payee()
    raise_halt(reason="a row is broken")
    with pytest.raises(PostingsHalted):
        record_deposit(
            provider="test",
            user=payee,
            amount=Money.parse("1.00", "USD"),
            reference=uuid.uuid4().hex,
        )
    assert balance_of(payee) == "0.00"


def test_reads_and_replays_go_on() -> None:
    payer, payee = make_payer("100.00"), make_payee()
    client = api_client(payer)
    body = {"to_user_email": payee.email, "amount": "10.00", "idempotency_key": uuid.uuid4().hex}
    first = client.post(TRANSFER, body)
    raise_halt(reason="a row is broken")
    assert client.get("/api/wallet/").json()["balance"] == "90.00"
    assert client.get("/api/transactions/transactions/").status_code == 200
    again = client.post(TRANSFER, body)
    assert (again.status_code, again.json()) == (201, first.json())


def test_health_names_the_ledger_while_it_is_halted() -> None:
    client = api_client()
    assert "ledger" not in client.get("/api/health/").json()["checks"]
    raise_halt(reason="a row is broken")
    answer = client.get("/api/health/")
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    assert answer.json()["checks"]["ledger"] == "halted"
    assert client.get("/api/health/ready/").status_code == 200


def test_only_one_halt_stands_however_many_raise_one() -> None:
    raised = at_once(4, lambda index: raise_halt(reason=f"found by {index}"))
    assert len([halt for halt in raised if halt]) == 1
    assert LedgerHalt.objects.filter(cleared_at=None).count() == 1


def test_a_halt_is_cleared_on_record_by_who_may() -> None:
    halt = raise_halt(reason="a row is broken")
    assert halt is not None
    for stranger in (make_payee(), make_staff("wallet.freeze_wallet")):
        with pytest.raises(PermissionDenied):
            clear_halt(acting_user=stranger, reason="I want to")
    chief = operator()
    clear_halt(acting_user=chief, reason="the row is put right")
    halt.refresh_from_db()
    assert (halt.cleared_by, halt.cleared_because) == (chief, "the row is put right")
    raised, cleared = AuditRecord.objects.filter(
        subject_type="ledger_halt", subject_id=uuid.UUID(int=halt.pk)
    ).order_by("sequence")
    assert (raised.action, raised.actor_id) == ("ledger.halted", None)
    assert (cleared.action, cleared.actor_id) == ("ledger.halt_cleared", chief.pk)
    assert cleared.reason == "the row is put right"
    with pytest.raises(NoHaltStands):
        clear_halt(acting_user=chief, reason="again")


def test_an_operator_clears_a_halt_at_the_desk() -> None:
    halt = raise_halt(reason="a row is broken")
    assert halt is not None
    address = reverse("admin:transactions_ledgerhalt_clear", args=[halt.pk])
    for user, is_cleared in (
        (make_staff("transactions.view_ledgerhalt"), False),
        (make_staff("transactions.view_ledgerhalt", "transactions.clear_halt"), True),
    ):
        client = Client(HTTP_HOST="localhost")
        client.force_login(user)
        client.post(address, {"_form_submitted": "on", "reason": "put right"})
        halt.refresh_from_db()
        assert (halt.cleared_at is not None) is is_cleared


def test_an_operator_clears_a_halt_at_the_command_line() -> None:
    raise_halt(reason="a row is broken")
    with pytest.raises(CommandError, match="may not"):
        call_command("clear_halt", make_payee().email, "--reason", "put right")
    with pytest.raises(CommandError, match="no such operator"):
        call_command("clear_halt", "nobody@example.com", "--reason", "put right")
    told = io.StringIO()
    call_command("clear_halt", operator().email, "--reason", "put right", stdout=told)
    assert "a row is broken" in told.getvalue()
    assert not LedgerHalt.objects.filter(cleared_at=None).exists()


def test_the_tasks_take_a_checkpoint_and_prove_a_sound_ledger() -> None:
    make_payer("10.00")
    assert tasks.take_checkpoint_task() is not None
    assert tasks.take_checkpoint_task() is None
    assert tasks.verify_new_task() is True
    assert tasks.verify_all_task() is True
    assert not LedgerHalt.objects.filter(cleared_at=None).exists()
