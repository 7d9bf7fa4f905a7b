"""Money that comes in from outside, by way of a wallet of the platform."""

import uuid
from dataclasses import dataclass

from fintech_core.database import exactly_once
from fintech_core.fields import uuid7
from fintech_core.money import Money
from transactions import rules
from transactions.accounts import Opened, open_accounts
from transactions.declines import Decline
from transactions.instructions import Outcome, Request, TransactionRecord
from transactions.ledger import Journal
from transactions.models import TransactionKind, TransactionStatus
from transactions.services.parties import require_active
from transactions.services.recording import KEYS, declined, known_outcome, open_pair
from wallet.locks import lock_wallets_of
from wallet.models import Wallet


@dataclass(frozen=True, slots=True)
class DepositInstruction:
    """A request to credit ``amount`` to the target out of a wallet of the platform."""

    source_id: uuid.UUID
    target_id: uuid.UUID
    amount: Money
    request: Request
    description: str = ""


def deposit(
    *,
    source_id: uuid.UUID,
    target_id: uuid.UUID,
    amount: Money,
    request: Request,
    description: str = "",
) -> Outcome:
    """Bring money in from one of the platform's wallets, once per key.

    The outcome is posted, or declined by the target's state, currency or largest balance.
    """
    instruction = DepositInstruction(source_id, target_id, amount, request, description)

    def work() -> Outcome:
        opened = _open(instruction)
        known = known_outcome(opened, instruction.request)
        if known is not None:
            return known
        try:
            return _post(instruction, opened)
        except Decline as decline:
            return _decline(instruction, opened, decline)

    return exactly_once(work, keys=KEYS)


def deposit_within(instruction: DepositInstruction) -> Outcome:
    """The same as a part of the open transaction, whose commit or end is its own, too.

    What may not be credited now raises its ``Decline`` with nothing written, and the key stays free: the
    money is there, and may be credited later. Whoever opened the transaction runs it by
    ``exactly_once(keys=KEYS)``.
    """
    opened = _open(instruction)
    return known_outcome(opened, instruction.request) or _post(instruction, opened)


def refuse_deposit_within(instruction: DepositInstruction) -> Outcome | None:
    """Judge a deposit before its money is asked for: None where its target would take it now.

    A refusal is recorded under the caller's key, and replayed. Joins the open transaction, which holds
    the locks of all the caller's wallets from here on, so that nothing else uses the key until it ends
    (``claim_key_within``); nothing moves, and the source is not locked. Raises ``IdempotencyKeyReused``,
    ``CallerInactive``.
    """
    request = instruction.request
    if request.caller_id:
        lock_wallets_of(request.caller_id)
    opened = open_accounts(
        wallets=[instruction.target_id],
        users=[request.caller_id] if request.caller_id else [],
        keys=[(request.caller_id, request.idempotency_key)],
    )
    known = known_outcome(opened, request)
    if known is not None:
        return known
    require_active(request, opened)
    try:
        rules.decide_deposit(
            source=Wallet.objects.get(pk=instruction.source_id),
            target=opened.accounts[instruction.target_id],
            amount=instruction.amount,
        )
    except Decline as decline:
        return _decline(instruction, opened, decline)
    return None


def _open(instruction: DepositInstruction) -> Opened:
    return open_pair(instruction.source_id, instruction.target_id, instruction.request)


def _judge(instruction: DepositInstruction, opened: Opened) -> None:
    rules.decide_deposit(
        source=opened.accounts[instruction.source_id],
        target=opened.accounts[instruction.target_id],
        amount=instruction.amount,
    )


def _post(instruction: DepositInstruction, opened: Opened) -> Outcome:
    _judge(instruction, opened)
    record, amount = _record(instruction, opened), instruction.amount.amount
    journal = Journal(opened)
    journal.post(
        record,
        (opened.accounts[instruction.source_id], -amount),
        (opened.accounts[instruction.target_id], amount),
    )
    journal.write()
    return Outcome(record)


def _decline(instruction: DepositInstruction, opened: Opened, decline: Decline) -> Outcome:
    journal = Journal(opened)
    record = declined(_record(instruction, opened), decline, journal)
    journal.write()
    return Outcome(record)


def _record(instruction: DepositInstruction, opened: Opened) -> TransactionRecord:
    request, amount = instruction.request, instruction.amount
    target = opened.accounts[instruction.target_id]
    # The source is not among them where nothing will move.
    source = opened.accounts.get(instruction.source_id, target)
    return TransactionRecord(
        id=uuid7(),
        kind=TransactionKind.DEPOSIT,
        status=TransactionStatus.POSTED,
        amount=amount.amount,
        currency=amount.currency,
        fee=amount.amount * 0,
        from_wallet_id=instruction.source_id,
        to_wallet_id=target.id,
        initiated_by_id=request.caller_id,
        idempotency_key=request.idempotency_key,
        fingerprint=request.fingerprint,
        created_at=opened.moment(source, target),
        description=instruction.description,
        request_id=request.request_id,
        client_address=request.client_address,
        to_user_email=opened.email_of(target),
    )
