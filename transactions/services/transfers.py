"""Transfers between users, one or a thousand in one commit; and the holds that transfers may begin as."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from fintech_core.database import exactly_once
from fintech_core.exceptions import DomainError, InvalidInput
from fintech_core.fields import uuid7
from fintech_core.money import InvalidMoney, Money
from transactions import rules
from transactions.accounts import Account, Opened, open_accounts
from transactions.declines import (
    BatchRefused,
    CallerInactive,
    Decline,
    RecipientNotFound,
    SourceWalletNotFound,
)
from transactions.fees import fee_of
from transactions.instructions import Outcome, TransactionRecord, TransferInstruction
from transactions.ledger import Journal
from transactions.models import TransactionKind, TransactionStatus
from transactions.selectors import records_by_key
from transactions.services.recording import KEYS, declined, fee_wallets, replay, require_unclaimed

R = TypeVar("R")

# How long a group waits for a lock: longer than other groups hold theirs, shorter than anybody notices.
GROUP_LOCK_MILLISECONDS = 250


def transfer_many(instructions: Sequence[TransferInstruction]) -> list[Outcome | DomainError]:
    """Transfers in order, in one commit and a constant number of statements; each with its own outcome.

    A later one may spend what an earlier one brings. One that is refused does not touch its neighbours.
    """
    return _commit(partial(_decide_all, instructions, fee_wallets()))


def transfer_within(
    instruction: TransferInstruction, fees: dict[str, uuid.UUID]
) -> Outcome | DomainError:
    """One transfer as a part of the open transaction, whose commit or end is its own, too.

    ``fees`` are ``fee_wallets()``, asked for before the transaction began. Whoever opened it runs it by
    ``exactly_once(keys=KEYS)`` and locks nothing after this.
    """
    decided = _decide_all([instruction], fees)
    if decided.journal:
        decided.journal.write()
    [result] = decided.results
    return result


def post_group(instructions: Sequence[TransferInstruction]) -> list[Outcome | DomainError]:
    """``transfer_many`` for callers who know nothing of each other: it gives up early on a wallet that
    somebody else has locked, so that one foreign lock stalls only those who need it.
    """
    work = partial(_decide_all, instructions, fee_wallets(), GROUP_LOCK_MILLISECONDS)
    return _commit(work)


def transfer_all_or_none(instructions: Sequence[TransferInstruction]) -> list[Outcome]:
    """Transfers in order, in one commit: all of them, or none.

    Raises ``BatchRefused`` with the place of the first that may not happen and why; where that is a
    decline it is recorded under that transfer's key, and the keys of the others are not used up.
    """
    results = _commit(partial(_decide_together, instructions, fee_wallets()))
    if isinstance(results, BatchRefused):
        raise results
    return results


@dataclass(frozen=True, slots=True)
class Route:
    """From which wallet to which, and how much: what a transfer's words mean."""

    source: Account
    target: Account
    amount: Money


@dataclass(frozen=True, slots=True)
class _Decided(Generic[R]):
    """What is to be answered once the journal is written."""

    results: R
    journal: Journal | None = None

    def commit(self) -> None:
        """Write the journal, if it has anything. Here nothing may fail but the database itself."""
        if self.journal:
            self.journal.commit()


def _commit(work: Callable[[], _Decided[R]]) -> R:
    return exactly_once(work, keys=KEYS, finish=_Decided.commit).results


def _decide_all(
    instructions: Sequence[TransferInstruction],
    fees: dict[str, uuid.UUID],
    patience: int | None = None,
) -> _Decided[list[Outcome | DomainError]]:
    # Lock: the wallets, and with them all that is decided by.
    opened = _open(instructions, fees, patience)
    journal = Journal(opened)
    return _Decided(_judge(instructions, opened, fees, journal), journal)


def _decide_together(
    instructions: Sequence[TransferInstruction], fees: dict[str, uuid.UUID]
) -> _Decided[list[Outcome] | BatchRefused]:
    opened = _open(instructions, fees)
    journal = Journal(opened)
    outcomes: list[Outcome] = []
    for index, result in enumerate(_judge(instructions, opened, fees, journal)):
        if isinstance(result, DomainError):
            return _Decided(BatchRefused(index, result))
        if decline := result.transaction.decline:
            refused = BatchRefused(index, decline, transaction=str(result.transaction.id))
            if result.is_replay:
                return _Decided(refused)
            # The accounts have moved with the others, of which nothing is written: open them anew.
            journal = Journal(_open(instructions, fees))
            journal.add(result.transaction)
            return _Decided(refused, journal)
        outcomes.append(result)
    return _Decided(outcomes, journal)


def _judge(
    instructions: Sequence[TransferInstruction],
    opened: Opened,
    fees: dict[str, uuid.UUID],
    journal: Journal,
) -> list[Outcome | DomainError]:
    """Decide one after the other; what is decided stands in the journal."""
    # Replay: settled under the lock and before the rules, so that a retry gets the first answer even
    # when the wallet is empty or frozen, or the recipient gone, by now.
    found = records_by_key(opened.known_transactions)
    results: list[Outcome | DomainError] = []
    for instruction in instructions:
        key = (instruction.caller_id, instruction.idempotency_key)
        try:
            route = route_of(instruction, opened)
            first = found.get(key)
            if first and is_answered(instruction, route, first.fingerprint):
                results.append(replay(first, instruction.fingerprint))
                continue
            if not isinstance(route, Route):
                raise route
            require_unclaimed(opened, *key)
            # Rules, and what they allow goes to the journal.
            record = _decide(instruction, route, opened, fees, journal)
        except DomainError as error:
            results.append(error)
            continue
        found[key] = record
        results.append(Outcome(record))
    return results


def _open(
    instructions: Sequence[TransferInstruction],
    fees: dict[str, uuid.UUID],
    patience: int | None = None,
) -> Opened:
    wallets = [i.source_wallet_id for i in instructions if i.source_wallet_id]
    wallets += [i.recipient.wallet_id for i in instructions if i.recipient.wallet_id]
    return open_accounts(
        wallets=[*wallets, *fees.values()],
        primaries=[i.caller_id for i in instructions if not i.source_wallet_id],
        emails=[i.recipient.email for i in instructions if i.recipient.email],
        phones=[i.recipient.phone for i in instructions if i.recipient.phone],
        keys=[(i.caller_id, i.idempotency_key) for i in instructions],
        patience=patience,
    )


def route_of(instruction: TransferInstruction, opened: Opened) -> Route | DomainError:
    """What a transfer's words mean, or the first of them that means nothing."""
    source: Account | None
    if instruction.source_wallet_id:
        source = opened.accounts.get(instruction.source_wallet_id)
    else:
        source = opened.primaries.get(instruction.caller_id)
    if source is None or source.owner_id != instruction.caller_id:
        return SourceWalletNotFound()
    try:
        amount = Money.parse(instruction.amount, instruction.currency or source.currency)
    except InvalidMoney as error:
        return InvalidInput({"amount": [str(error)]})
    target = opened.account_of(instruction.recipient)
    if target is None:
        return RecipientNotFound()
    return Route(source, target, amount)


def is_answered(
    instruction: TransferInstruction, route: Route | DomainError, fingerprint: bytes
) -> bool:
    """Whether the key decides the answer: always for a retry; for another request only where its wallets
    were found, since a 400 and a 404 are told before a reused key."""
    return isinstance(route, Route) or fingerprint == instruction.fingerprint


def _decide(
    instruction: TransferInstruction,
    route: Route,
    opened: Opened,
    fees: dict[str, uuid.UUID],
    journal: Journal,
) -> TransactionRecord:
    """Judge one transfer and put what becomes of it into the journal: posted, pending or declined."""
    source, target, amount = route.source, route.target, route.amount
    if source.owner is None or not source.owner.is_active:
        raise CallerInactive
    if instruction.hold_for is not None:
        rules.require_room_for_hold(source)
    is_own = source.owner_id == target.owner_id
    fee = amount.amount * 0
    if fees and not is_own:
        fee = fee_of(TransactionKind.TRANSFER, source.tier, amount)
    record = TransactionRecord(
        id=uuid7(),
        kind=TransactionKind.TRANSFER,
        status=TransactionStatus.POSTED,
        amount=amount.amount,
        currency=amount.currency,
        fee=fee,
        from_wallet_id=source.id,
        to_wallet_id=target.id,
        initiated_by_id=instruction.caller_id,
        idempotency_key=instruction.idempotency_key,
        fingerprint=instruction.fingerprint,
        created_at=opened.moment(source, target),
        description=instruction.description,
        metadata=instruction.metadata,
        request_id=instruction.request_id,
        client_address=instruction.client_address,
        from_user_email=opened.email_of(source),
        to_user_email=opened.email_of(target),
    )
    today = opened.read_at.date()
    try:
        rules.decide_transfer(source=source, target=target, amount=amount, fee=fee, today=today)
    except Decline as decline:
        return declined(record, decline, journal)
    if instruction.hold_for is not None:
        record.status = TransactionStatus.PENDING
        journal.reserve(record, instruction.hold_for)
        return record
    legs = [(source, -(amount.amount + fee)), (target, amount.amount)]
    if fee:
        legs.append((opened.accounts[fees[amount.currency]], fee))
    journal.post(record, *legs)
    return record
