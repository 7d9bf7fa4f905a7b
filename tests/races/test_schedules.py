"""Several runners and a cancel at the same moment: every occurrence has its effect once, or not at all.

The first and the third were seen to fail with the runner reading its schedule without a lock.
"""

import datetime
import threading
import uuid
from typing import Any

import pytest

from transactions import declines, services
from transactions.models import Schedule, ScheduleRun, Transaction
from transactions.services import schedules
from transactions.services.transfers import transfer_within
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer
from users.models import User
from users.tests.factories import at_once

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def _long_ago_is_fine(settings: Any) -> None:
    settings.SCHEDULE_START_TOLERANCE = datetime.timedelta(days=40)


def plan(payer: User, payee: User, key: str | None = None) -> Schedule:
    """Due for ten days."""
    start = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(
        days=9.5
    )
    overrides = {"idempotency_key": key} if key else {}
    return services.create_schedule(
        services.ScheduleInstruction(
            transfer=instruct(payer, payee, "1.00", **overrides),
            start_at=start,
            rrule="FREQ=DAILY;COUNT=10",
            timezone="UTC",
        )
    ).schedule


def test_four_runners_make_each_run_once() -> None:
    payers, payee = [make_payer("10.00") for _ in range(6)], make_payee()
    planned = [plan(payer, payee) for payer in payers]
    at_once(4, lambda _: services.run_due_schedules())
    services.run_due_schedules()
    for payer, schedule in zip(payers, planned, strict=True):
        assert balance_of(payer) == "0.00"
        runs = ScheduleRun.objects.filter(schedule=schedule)
        assert list(runs.values_list("status", flat=True)) == ["posted"] * 10
        assert len(set(runs.values_list("occurrence", flat=True))) == 10
        assert Transaction.objects.filter(initiated_by=payer).count() == 10
    assert balance_of(payee) == "60.00"


@pytest.mark.parametrize("_", range(5))
def test_after_a_cancel_was_answered_nothing_runs(_: int) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    schedule = plan(payer, payee)
    at_answer: list[int] = []

    def act(index: int) -> None:
        if index < 3:
            services.run_due_schedules()
            return
        threading.Event().wait(0.03)
        services.cancel_schedule(owner_id=payer.pk, schedule_id=schedule.pk)
        at_answer.append(Transaction.objects.filter(initiated_by=payer).count())

    at_once(4, act)
    services.run_due_schedules()
    made = Transaction.objects.filter(initiated_by=payer).count()
    assert at_answer == [made]
    assert ScheduleRun.objects.filter(schedule=schedule).count() == made


def test_a_cancel_waits_for_the_run_that_is_happening(monkeypatch: pytest.MonkeyPatch) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    schedule = plan(payer, payee)
    running = threading.Event()
    original = transfer_within

    def slowly(*arguments: Any) -> Any:
        result = original(*arguments)
        running.set()
        threading.Event().wait(0.3)
        return result

    monkeypatch.setattr(schedules, "transfer_within", slowly)

    def act(index: int) -> int:
        if index == 0:
            schedules._try_run(schedule.pk)
            return 0
        assert running.wait(10)
        services.cancel_schedule(owner_id=payer.pk, schedule_id=schedule.pk)
        return ScheduleRun.objects.filter(schedule=schedule).count()

    assert at_once(2, act) == [0, 1], "the run was there when the cancel was answered"


def test_one_key_posted_many_times_at_once_plans_one_schedule() -> None:
    payer, payee = make_payer("10.00"), make_payee()
    key = uuid.uuid4().hex
    planned = at_once(8, lambda _: plan(payer, payee, key).pk)
    assert len(set(planned)) == 1
    assert Schedule.objects.filter(owner=payer).count() == 1
    services.run_due_schedules()
    assert balance_of(payer) == "0.00"


def test_no_race_plans_more_than_one_may_have(settings: Any) -> None:
    settings.SCHEDULES_PER_USER = 3
    payer, payee = make_payer("10.00"), make_payee()

    def act(_: int) -> str:
        try:
            plan(payer, payee)
        except declines.TooManySchedules:
            return "refused"
        return "planned"

    assert sorted(at_once(8, act)) == ["planned"] * 3 + ["refused"] * 5
    for schedule in Schedule.objects.filter(owner=payer):
        services.cancel_schedule(owner_id=payer.pk, schedule_id=schedule.pk)
