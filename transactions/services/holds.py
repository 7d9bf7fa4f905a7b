"""What becomes of holds: captured or voided, alone or as a group, all or none; expired in time."""

import datetime
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db import DatabaseError

from events.services import record_audit
from fintech_core.database import exactly_once
from fintech_core.exceptions import DomainError, InvalidInput
from fintech_core.fields import uuid7
from fintech_core.money import InvalidMoney, Money
from transactions import rules
from transactions.accounts import HoldRecord, Opened, open_accounts
from transactions.declines import (
    Decline,
    HoldNotExpired,
    InvalidTransactionState,
    NotTheRecipient,
)
from transactions.instructions import HoldOutcome, Request, TransactionRecord
from transactions.ledger import Journal
from transactions.models import TransactionKind, TransactionStatus
from transactions.selectors import (
    facts_of_hold,
    list_overdue_wallets,
    records_by_key,
    records_of,
    reversed_amounts,
    transactions_by_id,
)
from transactions.services.parties import Side, require_active, side_of
from transactions.services.recording import (
    KEYS,
    declined,
    fee_wallets_of,
    replay,
    require_unclaimed,
)
from wallet.models import HoldStatus

logger = logging.getLogger(__name__)


def capture_hold(
    *,
    hold_id: uuid.UUID,
    request: Request,
    is_operator: bool = False,
    amount: str | None = None,
    final: bool = True,
) -> HoldOutcome:
    """Let what is held go to its recipient, all that is left or a part of it, once per key.

    ``final`` gives the rest back; without it the rest stays held. By the recipient or an operator. The
    outcome is the hold as it is afterwards, or a recorded decline: by the state of the wallets or of the
    hold, what is left of it, the recipient's largest balance. Raises, with nothing written: ``NotFound``,
    ``NotTheRecipient``, ``InvalidInput``, ``InvalidTransactionState`` for what is not a transfer,
    ``IdempotencyKeyReused``, ``CallerInactive``, and what ``exactly_once`` does.
    """
    [outcome] = _all_or_none([hold_id], request, is_operator, _Capture(amount, final))
    return outcome


def capture_holds(
    *, hold_ids: Sequence[uuid.UUID], request: Request, is_operator: bool = False
) -> list[HoldOutcome]:
    """Capture all that is left of each of these holds, or of none; outcomes in order, or one decline."""
    return _all_or_none(hold_ids, request, is_operator, _Capture())


def void_hold(
    *, hold_id: uuid.UUID, request: Request, is_operator: bool = False, reason: str = ""
) -> HoldOutcome:
    """Give back what a hold still reserves, once per key.

    By the recipient or an operator at any time, and by the payer once it has expired; before that
    ``HoldNotExpired``. Else as ``capture_hold``; wallets may be frozen, since nothing moves.
    """
    [outcome] = _all_or_none([hold_id], request, is_operator, _Void(), reason=reason)
    return outcome


def void_holds(
    *, hold_ids: Sequence[uuid.UUID], request: Request, is_operator: bool = False
) -> list[HoldOutcome]:
    """Void each of these holds, or none; outcomes in order, or one decline."""
    return _all_or_none(hold_ids, request, is_operator, _Void())


def void_request(request: Request, hold_id: uuid.UUID) -> Request:
    """The same request under a key of its own, for callers who give none: a void happens once anyway."""
    return replace(request, idempotency_key=f"void {hold_id}", fingerprint=hold_id.bytes * 2)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One hold of a request: the transaction that it names, who asks, and the key of what comes of it."""

    row: Any
    side: Side
    key: str
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class _Session:
    """What is open while a request is decided: locked accounts, and the journal they are moved in."""

    request: Request
    opened: Opened
    journal: Journal
    fees: dict[str, uuid.UUID]
    reversed_amounts: dict[uuid.UUID, Decimal]

    def facts(self, hold: HoldRecord) -> dict[str, Any]:
        """What a retry must be told of the hold again."""
        given_back = self.reversed_amounts.get(hold.id, Decimal(0))
        at = self.opened.read_at
        return {"hold": facts_of_hold(hold, reversed_amount=given_back, at=at)}


@dataclass(frozen=True, slots=True)
class _Capture:
    amount: str | None = None
    final: bool = True
    action = "hold.captured"

    def read(self, asked: _Asked) -> _Asked:
        """Refuse the payer, and an amount that its currency cannot have."""
        if asked.side is Side.PAYER:
            raise NotTheRecipient
        if self.amount is None:
            return asked
        try:
            return replace(asked, amount=Money.parse(self.amount, asked.row.currency))
        except InvalidMoney as error:
            raise InvalidInput({"amount": [str(error)]}) from None

    def require_due(self, asked: _Asked, opened: Opened) -> None:
        """Any time will do."""

    def decide(self, asked: _Asked, act: TransactionRecord, session: _Session) -> None:
        opened, journal = session.opened, session.journal
        source, target = opened.accounts[act.from_wallet_id], opened.accounts[act.to_wallet_id]
        hold = rules.decide_capture(
            hold=opened.holds.get(asked.row.pk),
            shown=asked.row.status,
            source=source,
            target=target,
            amount=Money(act.amount, act.currency),
        )
        act.status = TransactionStatus.POSTED
        act.fee = hold.fee_of(act.amount)
        act.created_at = opened.moment(source, target)
        act.facts = session.facts(journal.capture(hold, act.amount, act.fee, final=self.final))
        legs = [(source, -(act.amount + act.fee)), (target, act.amount)]
        if act.fee:
            legs.append((opened.accounts[session.fees[act.currency]], act.fee))
        journal.post(act, *legs)


@dataclass(frozen=True, slots=True)
class _Void:
    action = "hold.voided"

    def read(self, asked: _Asked) -> _Asked:
        return asked

    def require_due(self, asked: _Asked, opened: Opened) -> None:
        """The payer waits for the expiry."""
        hold = opened.holds.get(asked.row.pk)
        is_open = hold is not None and hold.status == HoldStatus.OPEN
        if asked.side is Side.PAYER and hold and is_open and not hold.is_overdue(opened.read_at):
            moment = hold.expires_at.astimezone(datetime.UTC)
            raise HoldNotExpired(expires_at=moment.isoformat().replace("+00:00", "Z"))

    def decide(self, asked: _Asked, act: TransactionRecord, session: _Session) -> None:
        hold = session.opened.holds.get(asked.row.pk)
        if asked.side is Side.PAYER and hold and hold.status == HoldStatus.EXPIRED:
            # Whether somebody ended it before the payer came is chance; either way it is given back.
            act.status = TransactionStatus.EXPIRED
            act.facts = session.facts(hold)
        else:
            pending = rules.require_pending(hold, asked.row.status)
            act.status = TransactionStatus.VOIDED
            act.facts = session.facts(session.journal.end(pending, HoldStatus.VOIDED))
        session.journal.add(act)


def _all_or_none(
    hold_ids: Sequence[uuid.UUID],
    request: Request,
    is_operator: bool,
    operation: _Capture | _Void,
    reason: str = "",
) -> list[HoldOutcome]:
    rows = transactions_by_id(hold_ids)
    asked_holds = [
        _read(rows, hold_id, number, request, is_operator, operation)
        for number, hold_id in enumerate(hold_ids, 1)
    ]
    fees = fee_wallets_of({row.currency for row in rows.values() if row.fee})
    told = {record.id: record for record in records_of(list(rows.values()))}

    def outcome(act: TransactionRecord, hold_id: uuid.UUID, *, is_replay: bool) -> HoldOutcome:
        facts = act.facts["hold"] if act.facts and act.decline is None else None
        hold = replace(told[hold_id], facts=facts, balances_after=act.balances_after)
        return HoldOutcome(act, hold, is_replay)

    def work() -> list[HoldOutcome]:
        session = _open(asked_holds, request, fees)
        for asked in asked_holds:
            operation.require_due(asked, session.opened)
        found = records_by_key(session.opened.known_transactions)
        first = found.get((request.caller_id, request.idempotency_key))
        if first is not None:
            replay(first, request.fingerprint)
            kept = asked_holds if first.decline is None else asked_holds[:1]
            return [
                outcome(found[request.caller_id, asked.key], asked.row.pk, is_replay=True)
                for asked in kept
            ]
        require_unclaimed(session.opened, request.caller_id, request.idempotency_key)
        require_active(request, session.opened)
        outcomes = []
        for asked in asked_holds:
            act = _act(asked, session)
            try:
                operation.decide(asked, act, session)
            except Decline as decline:
                refused = _refuse_all(asked_holds, act, decline, request)
                return [outcome(refused, asked.row.pk, is_replay=False)]
            outcomes.append(outcome(act, asked.row.pk, is_replay=False))
        session.journal.write()
        for asked in asked_holds:
            if asked.side is Side.OPERATOR and request.caller_id:
                _leave_trail(asked, operation.action, request.caller_id, reason)
        return outcomes

    return exactly_once(work, keys=KEYS)


def _read(
    rows: dict[uuid.UUID, Any],
    hold_id: uuid.UUID,
    number: int,
    request: Request,
    is_operator: bool,
    operation: _Capture | _Void,
) -> _Asked:
    """What a caller asks of one hold. The first of a group owns the caller's key; the others have a
    key that is made from it."""
    side = side_of(rows, hold_id, request, is_operator=is_operator)
    key = request.idempotency_key if number == 1 else f"{request.idempotency_key} {number}"
    asked = operation.read(_Asked(rows[hold_id], side, key))
    if request.caller_id and asked.row.kind != TransactionKind.TRANSFER:
        # What holds money for another purpose is ended by what holds it.
        raise InvalidTransactionState
    return asked


def _open(asked_holds: Sequence[_Asked], request: Request, fees: dict[str, uuid.UUID]) -> _Session:
    rows = [asked.row for asked in asked_holds]
    opened = open_accounts(
        wallets=[
            *(row.from_wallet_id for row in rows),
            *(row.to_wallet_id for row in rows),
            *fees.values(),
        ],
        # An operator's own wallet: who claims a key of the caller's holds its lock.
        primaries=[request.caller_id] if request.caller_id else [],
        users=[request.caller_id] if request.caller_id else [],
        holds=[row.pk for row in rows],
        keys=[(request.caller_id, asked.key) for asked in asked_holds],
    )
    spared = [asked.row.pk for asked in asked_holds if asked.side is Side.PAYER]
    given_back = reversed_amounts([row.pk for row in rows])
    return _Session(request, opened, Journal(opened, spared=spared), fees, given_back)


def _act(asked: _Asked, session: _Session) -> TransactionRecord:
    """What will stand in the hold's record: a capture, a void, or the refusal of one."""
    row, request, opened = asked.row, session.request, session.opened
    hold = opened.holds.get(row.pk)
    left = hold.remaining if hold and hold.remaining else row.amount
    source, target = opened.accounts[row.from_wallet_id], opened.accounts[row.to_wallet_id]
    return TransactionRecord(
        id=uuid7(),
        kind=row.kind,
        status=TransactionStatus.DECLINED,
        amount=asked.amount.amount if asked.amount else left,
        currency=row.currency,
        fee=row.amount * 0,
        from_wallet_id=source.id,
        to_wallet_id=target.id,
        initiated_by_id=request.caller_id,
        idempotency_key=asked.key,
        fingerprint=request.fingerprint,
        created_at=opened.read_at,
        parent_id=row.pk,
        description=row.description,
        request_id=request.request_id,
        client_address=request.client_address,
        from_user_email=opened.email_of(source),
        to_user_email=opened.email_of(target),
    )


def _refuse_all(
    asked_holds: Sequence[_Asked], act: TransactionRecord, decline: Decline, request: Request
) -> TransactionRecord:
    """Record that one refusal stopped all of them, from accounts in which nothing is decided yet."""
    if len(asked_holds) > 1:
        decline.facts["hold"] = str(act.parent_id)
    session = _open(asked_holds, request, {})
    act.idempotency_key = request.idempotency_key
    act.fee = act.amount * 0
    act.created_at = session.opened.read_at
    declined(act, decline, session.journal)
    session.journal.write()
    return act


def _leave_trail(asked: _Asked, action: str, actor_id: uuid.UUID, reason: str) -> None:
    record_audit(
        action=action,
        subject_type="transaction",
        subject_id=asked.row.pk,
        actor_id=actor_id,
        reason=reason,
    )


# Expiry ----------------------------------------------------------------------------------------------

_CHUNK = 200


def expire_holds(*, for_seconds: float = 40) -> int:
    """Give back what overdue holds reserve, oldest first; returns how many wallets were gone through.

    Harmless when run twice or at once. A wallet in trouble is logged and passed over, and is tried again
    by the next run; a run ends when no overdue hold is left, or its time is up.
    """
    stop = time.monotonic() + for_seconds
    place: tuple[datetime.datetime, uuid.UUID] | None = None
    swept: set[uuid.UUID] = set()
    while overdue := list_overdue_wallets(after=place, limit=_CHUNK):
        for expires_at, hold_id, wallet_id in overdue:
            place = (expires_at, hold_id)
            if wallet_id in swept:
                continue
            if time.monotonic() > stop:
                return len(swept)
            swept.add(wallet_id)
            _sweep(wallet_id)
    return len(swept)


def _sweep(wallet_id: uuid.UUID) -> None:
    """End what ran out in one wallet: a journal begins by that."""

    def work() -> None:
        journal = Journal(open_accounts(wallets=[wallet_id]))
        if journal:
            journal.write()

    try:
        exactly_once(work, keys=KEYS)
    except (DomainError, DatabaseError) as error:
        logger.exception(
            "holds_not_expired",
            extra={"wallet": str(wallet_id), "reason": type(error).__name__},
        )
