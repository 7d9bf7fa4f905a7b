"""Scheduled transfers: each occurrence once, in order, whatever became of the ones before."""

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from fintech_core.exceptions import DomainError, NotFound, ServiceUnavailable
from transactions import declines, services
from transactions.instructions import Recipient
from transactions.models import Schedule, ScheduleRun
from transactions.services import schedules
from transactions.services.schedules import transfer_of
from transactions.services.transfers import transfer_within
from transactions.tests.factories import (
    balance_of,
    instruct,
    make_payee,
    make_payer,
    wallet_of,
)
from users.models import User
from wallet.services import freeze_wallet, unfreeze_wallet

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def _long_ago_is_fine(settings: Any) -> None:
    """Tests plan schedules that were due while nobody ran."""
    settings.SCHEDULE_START_TOLERANCE = datetime.timedelta(days=40)


def plan(
    payer: User,
    payee: User,
    amount: str = "1.00",
    *,
    ago: datetime.timedelta = datetime.timedelta(0),
    rrule: str = "",
    **overrides: Any,
) -> Schedule:
    """A schedule that began that long ago."""
    start = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - ago
    planned = services.create_schedule(
        services.ScheduleInstruction(
            transfer=instruct(payer, payee, amount, **overrides),
            start_at=start,
            rrule=rrule,
            timezone="UTC",
        )
    )
    return planned.schedule


def days(number: float) -> datetime.timedelta:
    return datetime.timedelta(days=number)


def told(schedule: Schedule) -> list[str]:
    """What became of its runs, in order."""
    runs = ScheduleRun.objects.filter(schedule=schedule).order_by("id")
    assert [run.occurrence for run in runs] == sorted(run.occurrence for run in runs)
    return [run.code or run.status for run in runs]


def make_due(schedule: Schedule) -> None:
    """As if the pause after a try that came to nothing were over."""
    Schedule.objects.filter(pk=schedule.pk).update(
        attempt_at=datetime.datetime.now(datetime.UTC) - days(1)
    )


def test_a_transfer_is_made_once_it_is_due_and_the_schedule_is_done() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    schedule = plan(payer, payee, "4.00", description="rent", metadata={"flat": "3"})
    services.run_due_schedules()
    services.run_due_schedules()
    schedule.refresh_from_db()
    assert (schedule.status, schedule.next_run_at) == ("done", None)
    assert told(schedule) == ["posted"]
    made = schedule.runs.get().transaction
    assert made
    assert (made.description, made.metadata) == ("rent", {"flat": "3"})
    assert (made.initiated_by_id, made.from_wallet_id) == (payer.pk, wallet_of(payer).pk)
    assert (balance_of(payer), balance_of(payee)) == ("6.00", "4.00")


def test_what_is_not_due_waits() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    schedule = plan(payer, payee, ago=-days(1), rrule="FREQ=DAILY")
    services.run_due_schedules()
    assert told(schedule) == []
    assert schedule.next_run_at == schedule.start_at == schedule.first_run_at


def test_what_was_missed_is_made_up_for_once_each_and_in_order() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    schedule = plan(payer, payee, ago=days(3.5), rrule="FREQ=DAILY")
    assert services.run_due_schedules() >= 4
    services.run_due_schedules()
    schedule.refresh_from_db()
    assert told(schedule) == ["posted"] * 4
    assert schedule.next_run_at == schedule.start_at + days(4)
    assert balance_of(payer) == "6.00"


def test_no_look_makes_more_runs_than_it_may(settings: Any) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    schedule = plan(payer, payee, ago=days(6.5), rrule="FREQ=DAILY")
    settings.SCHEDULE_RUNS_AT_ONCE = 3
    assert services.run_due_schedules() == 3
    services.run_due_schedules()
    services.run_due_schedules()
    assert told(schedule) == ["posted"] * 7


@pytest.mark.parametrize("end", ["COUNT=2", "UNTIL"])
def test_the_last_occurrence_is_the_last(end: str) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    until = datetime.datetime.now(datetime.UTC) - days(2)
    end = end if "=" in end else f"UNTIL={until:%Y%m%dT%H%M%SZ}"
    schedule = plan(payer, payee, ago=days(3.5), rrule=f"FREQ=DAILY;{end}")
    services.run_due_schedules()
    schedule.refresh_from_db()
    assert told(schedule) == ["posted"] * 2
    assert schedule.status == "done"


def test_a_decline_is_recorded_and_the_schedule_goes_on() -> None:
    payer, payee = make_payer("2.00"), make_payee()
    schedule = plan(payer, payee, "1.50", ago=days(1.5), rrule="FREQ=DAILY;COUNT=3")
    services.run_due_schedules()
    schedule.refresh_from_db()
    assert told(schedule) == ["posted", "insufficient_funds"]
    declined = schedule.runs.get(status="declined").transaction
    assert declined
    assert declined.decline_code == "insufficient_funds"
    assert schedule.status == "active"


def test_a_frozen_wallet_declines_one_run_and_no_other() -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee, ago=days(1.5), rrule="FREQ=DAILY;COUNT=2")
    freeze_wallet(wallet_id=wallet_of(payer).pk, acting_user=payee, reason="test")
    schedules._try_run(schedule.pk)
    unfreeze_wallet(wallet_id=wallet_of(payer).pk, acting_user=payee, reason="test")
    services.run_due_schedules()
    assert told(schedule) == ["wallet_frozen", "posted"]


def test_what_is_refused_without_a_record_is_recorded_as_failed() -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee, ago=days(3.5), rrule="FREQ=DAILY;COUNT=4")
    for change, undo in (
        ({"kyc_tier": 0, "kyc_status": "expired"}, {"kyc_tier": 2, "kyc_status": "approved"}),
        ({"is_active": False}, {"is_active": True}),
    ):
        User.objects.filter(pk=payer.pk).update(**change)
        schedules._try_run(schedule.pk)
        User.objects.filter(pk=payer.pk).update(**undo)
    User.objects.filter(pk=payee.pk).update(is_active=False)
    schedules._try_run(schedule.pk)
    User.objects.filter(pk=payee.pk).update(is_active=True)
    services.run_due_schedules()
    assert told(schedule) == ["kyc_required", "invalid_token", "recipient_not_found", "posted"]
    assert schedule.runs.filter(transaction=None, status="failed").count() == 3
    assert balance_of(payer) == "8.00"


def test_a_schedule_follows_its_recipients_words() -> None:
    """Whoever has the address when it is due gets the money, as with a transfer made then."""
    payer, first, second = make_payer("9.00"), make_payee(), make_payee()
    schedule = plan(payer, first)
    address = first.email
    User.objects.filter(pk=first.pk).update(email=f"{uuid.uuid4().hex}@example.com")
    User.objects.filter(pk=second.pk).update(email=address)
    services.run_due_schedules()
    assert told(schedule) == ["posted"]
    assert (balance_of(first), balance_of(second)) == ("0.00", "1.00")


@contextmanager
def halted(owner: psycopg.Connection[Any]) -> Iterator[None]:
    [(number,)] = owner.execute(
        "INSERT INTO transactions_ledgerhalt (reason, raised_at, cleared_because)"
        " VALUES ('test', now(), '') RETURNING id"
    ).fetchall()
    owner.commit()
    yield
    owner.execute("DELETE FROM transactions_ledgerhalt WHERE id = %s", [number])
    owner.commit()


def test_an_occurrence_outlasts_a_halt_of_the_ledger(owner: psycopg.Connection[Any]) -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee, ago=days(1.5), rrule="FREQ=DAILY;COUNT=2")
    with halted(owner):
        services.run_due_schedules()
        services.run_due_schedules()
        schedule.refresh_from_db()
        assert told(schedule) == []
        assert schedule.troubles == 1, "it waits before it is tried again"
        assert schedule.attempt_at
        assert schedule.next_run_at == schedule.start_at < schedule.attempt_at
    services.run_due_schedules()
    assert told(schedule) == []
    make_due(schedule)
    services.run_due_schedules()
    schedule.refresh_from_db()
    assert told(schedule) == ["posted", "posted"]
    assert schedule.troubles == 0


def test_one_schedule_in_trouble_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    payer, payee = make_payer("9.00"), make_payee()
    bad, away, good = [plan(payer, payee, ago=days(n + 0.5)) for n in (3, 2, 1)]
    original = transfer_within

    def fail(instruction: Any, fees: Any) -> Any:
        if str(bad.pk) in instruction.idempotency_key:
            raise RuntimeError("trouble")
        if str(away.pk) in instruction.idempotency_key:
            raise ServiceUnavailable
        return original(instruction, fees)

    monkeypatch.setattr(schedules, "transfer_within", fail)
    services.run_due_schedules()
    assert [told(schedule) for schedule in (bad, away, good)] == [[], [], ["posted"]]
    messages = {record.getMessage() for record in caplog.records}
    assert {"schedule_in_trouble", "schedule_put_off"} <= messages
    monkeypatch.undo()
    for schedule in (bad, away):
        make_due(schedule)
    services.run_due_schedules()
    assert told(bad) == told(away) == ["posted"]


def test_pauses_grow_up_to_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee)

    def fail(*_: Any) -> Any:
        raise ServiceUnavailable

    monkeypatch.setattr(schedules, "transfer_within", fail)
    pauses = []
    for _ in range(7):
        make_due(schedule)
        before = datetime.datetime.now(datetime.UTC)
        schedules._try_run(schedule.pk)
        schedule.refresh_from_db()
        assert schedule.attempt_at
        pauses.append(round((schedule.attempt_at - before).total_seconds() / 30))
    assert pauses == [1, 2, 4, 8, 16, 20, 20]
    services.cancel_schedule(owner_id=payer.pk, schedule_id=schedule.pk)


def test_money_that_moved_without_its_record_does_not_move_again() -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee)
    moved = services.transfer(transfer_of(schedule, schedule.start_at.date()))
    services.run_due_schedules()
    assert told(schedule) == ["posted"]
    assert schedule.runs.get().transaction_id == moved.transaction.id
    assert balance_of(payer) == "8.00"


def test_a_canceled_schedule_does_not_run() -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee, ago=days(1.5), rrule="FREQ=DAILY")
    canceled = services.cancel_schedule(owner_id=payer.pk, schedule_id=schedule.pk)
    assert canceled.status == "canceled"
    services.run_due_schedules()
    assert told(schedule) == []
    again = services.cancel_schedule(owner_id=payer.pk, schedule_id=schedule.pk)
    assert again.canceled_at == canceled.canceled_at
    with pytest.raises(NotFound):
        services.cancel_schedule(owner_id=payee.pk, schedule_id=schedule.pk)


def test_a_schedule_that_is_done_is_not_canceled() -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee)
    services.run_due_schedules()
    with pytest.raises(declines.ScheduleIsDone):
        services.cancel_schedule(owner_id=payer.pk, schedule_id=schedule.pk)


def test_a_user_has_so_many_active_schedules_and_no_more(settings: Any) -> None:
    settings.SCHEDULES_PER_USER = 2
    payer, payee = make_payer("9.00"), make_payee()
    first = plan(payer, payee, ago=-days(1))
    plan(payer, payee, ago=-days(1))
    with pytest.raises(declines.TooManySchedules):
        plan(payer, payee, ago=-days(1))
    services.cancel_schedule(owner_id=payer.pk, schedule_id=first.pk)
    plan(payer, payee, ago=-days(1))


def test_refusals_come_in_the_order_of_a_transfer() -> None:
    payer, payee = make_payer("9.00", tier=0), make_payee()
    key, used = uuid.uuid4().hex, uuid.uuid4().hex
    nobody = Recipient(email="nobody@example.com")
    own = Recipient(wallet_id=wallet_of(payer).pk)

    def refusal(**overrides: Any) -> str:
        try:
            plan(payer, payee, **{"idempotency_key": key, "ago": -days(1), **overrides})
        except DomainError as error:
            return type(error).__name__
        return "planned"

    with pytest.raises(declines.KycRequired):
        services.transfer(instruct(payer, payee, "1.00", idempotency_key=used))
    assert refusal(ago=days(50), recipient=nobody) == "InvalidInput"
    assert refusal(ago=-days(5000), recipient=nobody) == "InvalidInput"
    assert refusal(recipient=nobody, currency="EUR") == "RecipientNotFound"
    assert refusal(source_wallet_id=wallet_of(payee).pk) == "SourceWalletNotFound"
    assert refusal(recipient=own, currency="EUR") == "CurrencyMismatch"
    assert refusal(recipient=own) == "SelfTransfer"
    assert refusal() == "KycRequired"
    User.objects.filter(pk=payer.pk).update(kyc_status="approved", kyc_tier=2)
    assert refusal() == "planned"
    assert refusal(amount="2.00", recipient=own) == "IdempotencyKeyReused"
    assert refusal(amount="2.00", recipient=nobody) == "RecipientNotFound"
    services.transfer(instruct(payer, payee, "1.00", idempotency_key=used))
    assert refusal(idempotency_key=used) == "IdempotencyKeyReused"


def test_a_retry_gets_the_schedule_even_when_its_recipient_is_gone_and_its_start_past(
    settings: Any,
) -> None:
    payer, payee = make_payer("9.00"), make_payee()
    key = uuid.uuid4().hex
    first = plan(payer, payee, idempotency_key=key)
    User.objects.filter(pk=payee.pk).update(is_active=False)
    settings.SCHEDULE_START_TOLERANCE = -days(1)
    assert plan(payer, payee, idempotency_key=key).pk == first.pk
    assert Schedule.objects.filter(owner=payer).count() == 1


def test_the_application_cannot_rewrite_what_was_planned_or_done() -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee)
    services.run_due_schedules()
    for text in (
        "UPDATE transactions_schedule SET amount = 5 WHERE id = %s",
        "UPDATE transactions_schedulerun SET status = 'failed' WHERE schedule_id = %s",
        "DELETE FROM transactions_schedulerun WHERE schedule_id = %s",
        "DELETE FROM transactions_schedule WHERE id = %s",
    ):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(text, [schedule.pk])


def test_an_occurrence_has_one_run_says_the_database() -> None:
    payer, payee = make_payer("9.00"), make_payee()
    schedule = plan(payer, payee)
    services.run_due_schedules()
    run = schedule.runs.get()
    with pytest.raises(IntegrityError, match="schedule_runs_once_per_occurrence"):
        ScheduleRun.objects.create(
            schedule=schedule,
            occurrence=run.occurrence,
            due_at=run.due_at,
            status="failed",
            code="x",
        )
