"""Transfers at a later time, or again and again: planned, called off, and made when they are due.

A run locks its schedule, makes the transfer, records what became of it and moves the schedule on, all in
one commit. So an occurrence has its effect exactly once however many runners there are and whenever one
dies; and since calling off takes the same lock, nothing runs after it was answered. Besides, the transfer
has a key of its own for each occurrence, so that not even a lost record could make the money move again.
"""

import datetime
import logging
import uuid
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F
from django.db.models.functions import Now

from fintech_core.calls import call
from fintech_core.database import exactly_once
from fintech_core.exceptions import DomainError, InvalidInput, NotFound
from fintech_core.money import format_amount
from transactions import rules
from transactions.accounts import Opened, open_accounts
from transactions.declines import (
    CallerInactive,
    IdempotencyKeyReused,
    ScheduleIsDone,
    TooManySchedules,
)
from transactions.instructions import Outcome, Recipient, TransferInstruction
from transactions.models import RunStatus, Schedule, ScheduleRun, ScheduleStatus
from transactions.recurrence import Occurrence, Recurrence
from transactions.services.recording import (
    KEYS,
    claim_key_within,
    fee_wallets,
    require_unclaimed,
)
from transactions.services.transfers import (
    Route,
    is_answered,
    route_of,
    transfer_within,
)
from wallet.models import Wallet

logger = logging.getLogger(__name__)

# The constraint that gives a key to one schedule of its owner.
_SCHEDULE_KEYS = "schedule_key_is_unique_per_owner"
# Due schedules looked up at once, and how long one waits after it could not be tried: twice as long
# each time, up to the longest.
_PAGE = 100
_PAUSE = datetime.timedelta(seconds=30)
_LONGEST_PAUSE = datetime.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ScheduleInstruction:
    """A request to make ``transfer`` at ``start_at`` (now, where it is None), and if ``rrule`` is not
    empty, at each of its occurrences from then on, on the calendar of ``timezone``."""

    transfer: TransferInstruction
    start_at: datetime.datetime | None
    rrule: str
    timezone: str


@dataclass(frozen=True, slots=True)
class PlannedSchedule:
    """A schedule, and whether an earlier request made it."""

    schedule: Schedule
    is_replay: bool


def create_schedule(instruction: ScheduleInstruction) -> PlannedSchedule:
    """Plan a transfer, once per idempotency key of the caller.

    Raises, with nothing written: ``InvalidInput`` for a start in the past or a rule that is never due,
    ``RecipientNotFound``, ``SourceWalletNotFound``, ``IdempotencyKeyReused``, ``CallerInactive``;
    ``CurrencyMismatch``, ``SelfTransfer`` and ``KycRequired`` for what could never succeed; and
    ``TooManySchedules``.
    """
    made = _schedule_of_key(instruction.transfer)
    if made and bytes(made.fingerprint) == instruction.transfer.fingerprint:
        return PlannedSchedule(made, is_replay=True)
    # Looked for before anything is locked: the answer may take a quarter of a second.
    recurrence, first = _first_run(instruction, _now())
    return exactly_once(
        partial(_create, instruction.transfer, recurrence, first), keys=_SCHEDULE_KEYS
    )


def cancel_schedule(*, owner_id: uuid.UUID, schedule_id: uuid.UUID) -> Schedule:
    """Call a schedule off: from the answer on no run of it begins. Again is harmless.

    Waits for a run that is happening. Raises ``NotFound`` where it is not the owner's, ``ScheduleIsDone``
    after its last run, and ``RequestInProgress`` where a run takes too long.
    """
    return exactly_once(partial(_cancel, owner_id, schedule_id))


def run_due_schedules() -> int:
    """Make the transfers that are due, those of one schedule in order. Returns how many runs there were.

    Any number of these may be at work at once. What was missed while nobody ran is made up for. A
    schedule that cannot be run now is tried again later, and keeps no other waiting.
    """
    made = 0
    while True:
        progress = 0
        for schedule_id in _due_schedules():
            if made + progress >= settings.SCHEDULE_RUNS_AT_ONCE:
                return made + progress
            progress += _try_run(schedule_id)
        made += progress
        # Nothing, or nothing that somebody else does not do already.
        if not progress:
            return made


def _first_run(
    instruction: ScheduleInstruction, now: datetime.datetime
) -> tuple[Recurrence, Occurrence]:
    """When the schedule is due first, on the database's clock."""
    start_at = instruction.start_at or now.replace(microsecond=0)
    if start_at < now - settings.SCHEDULE_START_TOLERANCE:
        raise InvalidInput({"start_at": ["This is in the past."]}, {"start_at": ["in_the_past"]})
    recurrence = Recurrence(start_at, instruction.rrule, instruction.timezone)
    # A start that is centuries ahead is refused before its calendar is looked at.
    too_late = start_at > now + settings.SCHEDULE_HORIZON
    first = None if too_late else recurrence.first()
    if first is None or first.due_at > now + settings.SCHEDULE_HORIZON:
        field = "rrule" if instruction.rrule and not too_late else "start_at"
        years = settings.SCHEDULE_HORIZON.days // 365
        raise InvalidInput(
            {field: [f"This is not due within {years} years."]}, {field: ["never_due"]}
        )
    return recurrence, first


def _create(
    transfer: TransferInstruction, recurrence: Recurrence, first: Occurrence
) -> PlannedSchedule:
    # Lock: all wallets of the caller, and with them the key and the right to plan one more.
    opened = _open(transfer)
    # Replay.
    route = route_of(transfer, opened)
    made = _schedule_of_key(transfer)
    if made and is_answered(transfer, route, bytes(made.fingerprint)):
        if bytes(made.fingerprint) != transfer.fingerprint:
            raise IdempotencyKeyReused
        return PlannedSchedule(made, is_replay=True)
    if isinstance(route, DomainError):
        raise route
    if opened.known_transactions:
        raise IdempotencyKeyReused
    require_unclaimed(opened, transfer.caller_id, transfer.idempotency_key)
    # Rules.
    if not opened.standings[transfer.caller_id].is_active:
        raise CallerInactive
    rules.decide_schedule(source=route.source, target=route.target, amount=route.amount)
    active = Schedule.objects.filter(owner_id=transfer.caller_id, status=ScheduleStatus.ACTIVE)
    if active.count() >= settings.SCHEDULES_PER_USER:
        raise TooManySchedules
    schedule = _row(transfer, route, recurrence, first)
    schedule.created_at = opened.read_at
    schedule.save(force_insert=True)
    claim_key_within(transfer.caller_id, transfer.idempotency_key)
    return PlannedSchedule(schedule, is_replay=False)


def _open(transfer: TransferInstruction) -> Opened:
    """Lock what the transfer names and all wallets of its caller: no key of the caller's is used until
    the transaction ends."""
    opened = _open_with(transfer, _wallets_of(transfer.caller_id))
    # One may have been opened just before; from here on the lock of the primary one prevents it.
    own = _wallets_of(transfer.caller_id)
    return opened if own <= opened.accounts.keys() else _open_with(transfer, own)


def _open_with(transfer: TransferInstruction, own: set[uuid.UUID]) -> Opened:
    recipient = transfer.recipient
    named = [transfer.source_wallet_id, recipient.wallet_id]
    return open_accounts(
        wallets=[*own, *(wallet for wallet in named if wallet)],
        primaries=[transfer.caller_id],
        users=[transfer.caller_id],
        emails=[recipient.email] if recipient.email else [],
        phones=[recipient.phone] if recipient.phone else [],
        keys=[(transfer.caller_id, transfer.idempotency_key)],
    )


def _wallets_of(user_id: uuid.UUID) -> set[uuid.UUID]:
    return set(Wallet.objects.filter(owner_id=user_id).values_list("pk", flat=True))


def _row(
    transfer: TransferInstruction, route: Route, recurrence: Recurrence, first: Occurrence
) -> Schedule:
    return Schedule(
        owner_id=transfer.caller_id,
        idempotency_key=transfer.idempotency_key,
        fingerprint=transfer.fingerprint,
        to_user_email=transfer.recipient.email or "",
        to_phone=transfer.recipient.phone or "",
        to_wallet_id=transfer.recipient.wallet_id,
        from_wallet_id=route.source.id,
        amount=route.amount.amount,
        currency=route.amount.currency,
        description=transfer.description,
        metadata=transfer.metadata,
        start_at=recurrence.start_at,
        rrule=recurrence.rrule,
        timezone=recurrence.timezone,
        first_run_at=first.due_at,
        request_id=transfer.request_id,
        client_address=transfer.client_address,
        next_run_at=first.due_at,
        attempt_at=first.due_at,
    )


def _cancel(owner_id: uuid.UUID, schedule_id: uuid.UUID) -> Schedule:
    schedule = (
        Schedule.objects.select_for_update().filter(pk=schedule_id, owner_id=owner_id).first()
    )
    if schedule is None:
        raise NotFound
    if schedule.status == ScheduleStatus.DONE:
        raise ScheduleIsDone
    if schedule.status == ScheduleStatus.ACTIVE:
        schedule.status, schedule.canceled_at = ScheduleStatus.CANCELED, _now()
        schedule.next_run_at = schedule.attempt_at = None
        schedule.save(update_fields=["status", "canceled_at", "next_run_at", "attempt_at"])
    return schedule


def _due_schedules() -> list[uuid.UUID]:
    """Those that have waited longest."""
    due = Schedule.objects.filter(status=ScheduleStatus.ACTIVE, attempt_at__lte=Now())
    return list(due.order_by("attempt_at", "id").values_list("pk", flat=True)[:_PAGE])


def _try_run(schedule_id: uuid.UUID) -> bool:
    """Run what a schedule is due for next. Whatever goes wrong, it is due still, a little later."""
    try:
        return exactly_once(partial(_run, schedule_id, fee_wallets()), keys=KEYS)
    except DomainError as error:
        logger.warning(
            "schedule_put_off", extra={"schedule": str(schedule_id), "reason": error.code}
        )
    except Exception:
        logger.exception("schedule_in_trouble", extra={"schedule": str(schedule_id)})
    try:
        _put_off(schedule_id)
    except DatabaseError as error:
        logger.warning("schedule_not_put_off", extra={"reason": type(error).__name__})
    return False


def _run(schedule_id: uuid.UUID, fees: dict[str, uuid.UUID]) -> bool:
    """One occurrence: the transfer, its record, and the schedule's next time, in the open transaction.

    False where there is nothing to do, or somebody else does it.
    """
    # Lock.
    schedule = (
        Schedule.objects.select_for_update(skip_locked=True)
        .filter(pk=schedule_id, status=ScheduleStatus.ACTIVE, attempt_at__lte=Now())
        .first()
    )
    if schedule is None or schedule.next_run_at is None:
        return False
    recurrence = Recurrence(schedule.start_at, schedule.rrule, schedule.timezone)
    due = Occurrence(recurrence.day_of(schedule.next_run_at), schedule.next_run_at)
    following = recurrence.after(due.day)
    # Replay, rules and ledger are the transfer's.
    _record(schedule, due, transfer_within(transfer_of(schedule, due.day), fees))
    if following is None:
        schedule.status, schedule.next_run_at = ScheduleStatus.DONE, None
    else:
        schedule.next_run_at = following.due_at
    schedule.attempt_at, schedule.troubles = schedule.next_run_at, 0
    schedule.save(update_fields=["status", "next_run_at", "attempt_at", "troubles"])
    return True


def transfer_of(schedule: Schedule, day: datetime.date) -> TransferInstruction:
    """The transfer of one occurrence, under a key that is its alone and that no caller can send."""
    return TransferInstruction(
        caller_id=schedule.owner_id,
        idempotency_key=f"schedule {schedule.pk}/{day:%Y%m%d}",
        fingerprint=bytes(schedule.fingerprint),
        recipient=Recipient(
            email=schedule.to_user_email or None,
            phone=schedule.to_phone or None,
            wallet_id=schedule.to_wallet_id,
        ),
        amount=format_amount(schedule.amount, schedule.currency),
        currency=schedule.currency,
        source_wallet_id=schedule.from_wallet_id,
        description=schedule.description,
        metadata=schedule.metadata,
        request_id=schedule.request_id,
        client_address=schedule.client_address,
    )


def _record(schedule: Schedule, due: Occurrence, result: Outcome | DomainError) -> None:
    run = ScheduleRun(schedule=schedule, occurrence=due.day, due_at=due.due_at)
    if isinstance(result, DomainError):
        run.status, run.code = RunStatus.FAILED, result.code
    else:
        record = result.transaction
        run.transaction_id, run.code = record.id, record.decline_code
        run.status = RunStatus.DECLINED if record.decline_code else RunStatus.POSTED
    run.save(force_insert=True)


@transaction.atomic(durable=True)
def _put_off(schedule_id: uuid.UUID) -> None:
    """Try a schedule that is in trouble again after a pause."""
    due = (
        Schedule.objects.select_for_update(skip_locked=True)
        .filter(pk=schedule_id, status=ScheduleStatus.ACTIVE, attempt_at__lte=Now())
        .first()
    )
    if due is not None:
        pause = min(_PAUSE * 2 ** min(due.troubles, 10), _LONGEST_PAUSE)
        due.attempt_at, due.troubles = _now() + pause, F("troubles") + 1
        due.save(update_fields=["attempt_at", "troubles"])


def _schedule_of_key(transfer: TransferInstruction) -> Schedule | None:
    return Schedule.objects.filter(
        owner_id=transfer.caller_id, idempotency_key=transfer.idempotency_key
    ).first()


def _now() -> datetime.datetime:
    """The database's clock."""
    [(now,)] = call("clock_timestamp")
    moment: datetime.datetime = now
    return moment
