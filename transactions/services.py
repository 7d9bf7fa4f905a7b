"""Moving money: one public function per use case. All of them end in ``ledger.post``.

Every operation reads as five beats: lock, replay, rules, ledger, announcement. A transaction row is its
own announcement for now: it is what other parts of the platform and the payer's retries read.
"""

import datetime
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from fintech_core.database import exactly_once
from fintech_core.exceptions import DomainError, InvalidInput
from fintech_core.fields import uuid7
from fintech_core.money import InvalidMoney, Money
from transactions import ledger, rules
from transactions.declines import (
    CallerInactive,
    Decline,
    IdempotencyKeyReused,
    RecipientNotFound,
    SourceWalletNotFound,
)
from transactions.instructions import (
    Leg,
    Outcome,
    Posting,
    Recipient,
    TransactionRecord,
    TransferInstruction,
)
from transactions.limits import Spending
from transactions.models import TransactionKind, TransactionStatus
from transactions.selectors import Party, Standing, find_by_keys, find_parties, get_standings
from wallet.locks import lock_wallets
from wallet.models import Wallet, WalletKind

_KEYS = "idempotency_key_is_unique_per_caller"


def transfer(instruction: TransferInstruction) -> Outcome:
    """Move money from the caller to a recipient, once per idempotency key.

    The outcome is a posted or a declined transaction; both are on disk, and a retry gets the same one.
    Raises, with nothing written: ``InvalidInput`` for an amount its currency cannot have,
    ``RecipientNotFound``, ``SourceWalletNotFound``, ``IdempotencyKeyReused``, ``KycRequired``,
    ``CallerInactive``; ``RequestInProgress`` and ``ServiceUnavailable`` to be tried again; and
    ``OutcomeUnknown`` when the database went away during the commit.
    """
    [result] = transfer_many([instruction])
    if isinstance(result, DomainError):
        raise result
    return result


def transfer_many(instructions: Sequence[TransferInstruction]) -> list[Outcome | DomainError]:
    """Transfers in order, in one commit and a constant number of statements; each with its own outcome.

    A later one may spend what an earlier one brings. One that is refused does not touch its neighbours.
    """
    return exactly_once(partial(_transfer_all, instructions), keys=_KEYS)


def deposit(
    *,
    source: Wallet,
    target: Wallet,
    amount: Money,
    idempotency_key: str,
    fingerprint: bytes,
    description: str = "",
) -> Outcome:
    """Bring money in from one of the platform's wallets, once per key of the platform.

    The outcome is posted, or declined by the target's state, currency or largest balance.
    """

    def work() -> Outcome:
        wallets = lock_wallets([source.pk, target.pk])
        found = find_by_keys([(None, idempotency_key)]).get((None, idempotency_key))
        if found is not None:
            return _replay(found, fingerprint)
        standings = _standings_of(wallets.values())
        accounts = {pk: _account(wallet, standings) for pk, wallet in wallets.items()}
        record = TransactionRecord(
            id=uuid7(),
            kind=TransactionKind.DEPOSIT,
            status=TransactionStatus.POSTED,
            amount=amount.amount,
            currency=amount.currency,
            from_wallet_id=source.pk,
            to_wallet_id=target.pk,
            initiated_by_id=None,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            description=description,
            metadata={},
            decline_code="",
            decline_facts=None,
            request_id="",
            client_address=None,
            created_at=_clock(standings, wallets),
        )
        decide = partial(
            rules.decide_deposit,
            source=accounts[source.pk],
            target=accounts[target.pk],
            amount=amount,
        )
        posting = _decided(record, decide)
        ledger.post([posting], spending={})
        return Outcome(posting.transaction)

    return exactly_once(work, keys=_KEYS)


@dataclass(frozen=True, slots=True)
class _Route:
    """From which wallet to which, and how much: what a transfer's words mean."""

    source_id: uuid.UUID
    target_id: uuid.UUID
    amount: Money


def _route(instructions: Sequence[TransferInstruction]) -> list["_Route | DomainError"]:
    """Find each transfer's wallets. Nothing is locked yet: wallets never change their owner."""
    sources, targets = find_parties(
        callers={instruction.caller_id for instruction in instructions},
        recipients={instruction.recipient for instruction in instructions},
    )
    routes: list[_Route | DomainError] = []
    for instruction in instructions:
        try:
            routes.append(_route_one(instruction, sources, targets))
        except DomainError as error:
            routes.append(error)
    return routes


def _route_one(
    instruction: TransferInstruction,
    sources: dict[uuid.UUID, list[Party]],
    targets: dict[Recipient, Party],
) -> _Route:
    wanted = instruction.source_wallet_id
    own = sources.get(instruction.caller_id, [])
    source = next((party for party in own if wanted in {None, party.wallet_id}), None)
    if source is None:
        raise SourceWalletNotFound
    try:
        amount = Money.parse(instruction.amount, instruction.currency or source.currency)
    except InvalidMoney as error:
        raise InvalidInput({"amount": [str(error)]}) from None
    target = targets.get(instruction.recipient)
    if target is None:
        raise RecipientNotFound
    return _Route(source.wallet_id, target.wallet_id, amount)


def _transfer_all(
    instructions: Sequence[TransferInstruction],
) -> list[Outcome | DomainError]:
    routes = _route(instructions)
    # Lock.
    wallets = lock_wallets(
        pk
        for route in routes
        if isinstance(route, _Route)
        for pk in (route.source_id, route.target_id)
    )
    # Replay: settled under the lock and before the rules, so that a retry gets the first answer even
    # when the wallet is empty or frozen, or the recipient gone, by now.
    standings = _standings_of(wallets.values())
    found = find_by_keys((i.caller_id, i.idempotency_key) for i in instructions)
    # Rules.
    accounts = {pk: _account(wallet, standings) for pk, wallet in wallets.items()}
    now = _clock(standings, wallets)
    today = max((s.read_at for s in standings.values()), default=now).date()
    postings: list[Posting] = []
    results: list[Outcome | DomainError] = []
    for instruction, route in zip(instructions, routes, strict=True):
        key = (instruction.caller_id, instruction.idempotency_key)
        try:
            if key in found and _is_answered(instruction, route, found[key]):
                results.append(_replay(found[key], instruction.fingerprint))
                continue
            if not isinstance(route, _Route):
                raise route
            _require_active(instruction, route, wallets, standings)
            posting = _decide_transfer(instruction, route, accounts, standings, now, today)
        except DomainError as error:
            results.append(error)
            continue
        postings.append(posting)
        found[key] = posting.transaction
        results.append(Outcome(posting.transaction))
    # Ledger. From here on nothing may fail but the database itself.
    if postings:
        payers = {leg.wallet_id for p in postings for leg in p.legs if leg.amount < 0}
        ledger.post(postings, spending={pk: accounts[pk].spending for pk in payers})
    return results


def _is_answered(
    instruction: TransferInstruction, route: "_Route | DomainError", record: TransactionRecord
) -> bool:
    """Whether the key decides the answer: always for a retry; for another request only where its wallets
    were found, since a 400 and a 404 are told before a reused key."""
    return isinstance(route, _Route) or record.fingerprint == instruction.fingerprint


def _replay(record: TransactionRecord, fingerprint: bytes) -> Outcome:
    if record.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    return Outcome(record, is_replay=True)


def _require_active(
    instruction: TransferInstruction,
    route: _Route,
    wallets: dict[uuid.UUID, Wallet],
    standings: dict[uuid.UUID, Standing],
) -> None:
    """Both sides are still active now that their wallets are locked."""
    if not standings[instruction.caller_id].is_active:
        raise CallerInactive
    target_owner = wallets[route.target_id].user_id
    if target_owner is None or not standings[target_owner].is_active:
        raise RecipientNotFound


def _decide_transfer(
    instruction: TransferInstruction,
    route: _Route,
    accounts: dict[uuid.UUID, rules.Account],
    standings: dict[uuid.UUID, Standing],
    now: datetime.datetime,
    today: datetime.date,
) -> Posting:
    source, target = accounts[route.source_id], accounts[route.target_id]
    record = TransactionRecord(
        id=uuid7(),
        kind=TransactionKind.TRANSFER,
        status=TransactionStatus.POSTED,
        amount=route.amount.amount,
        currency=route.amount.currency,
        from_wallet_id=route.source_id,
        to_wallet_id=route.target_id,
        initiated_by_id=instruction.caller_id,
        idempotency_key=instruction.idempotency_key,
        fingerprint=instruction.fingerprint,
        description=instruction.description,
        metadata=instruction.metadata,
        decline_code="",
        decline_facts=None,
        request_id=instruction.request_id,
        client_address=instruction.client_address,
        created_at=now,
        from_user_email=_email_of(source, standings),
        to_user_email=_email_of(target, standings),
    )
    return _decided(
        record,
        partial(
            rules.decide_transfer,
            source=source,
            target=target,
            amount=route.amount,
            today=today,
        ),
    )


def _decided(record: TransactionRecord, decide: Callable[[], None]) -> Posting:
    """The posting of a transfer of one amount, or the record of its decline."""
    try:
        decide()
    except Decline as decline:
        declined = replace(
            record,
            status=TransactionStatus.DECLINED,
            decline_code=decline.code,
            decline_facts=decline.facts,
        )
        return Posting(declined)
    return Posting(
        record,
        legs=(
            Leg(record.from_wallet_id, -record.amount),
            Leg(record.to_wallet_id, record.amount),
        ),
    )


def _standings_of(wallets: Iterable[Wallet]) -> dict[uuid.UUID, Standing]:
    return get_standings(wallet.user_id for wallet in wallets if wallet.user_id)


def _account(wallet: Wallet, standings: dict[uuid.UUID, Standing]) -> rules.Account:
    owner = standings.get(wallet.user_id) if wallet.user_id else None
    return rules.Account(
        wallet_id=wallet.pk,
        owner_id=wallet.user_id,
        currency=wallet.currency,
        status=wallet.status,
        balance=wallet.balance,
        held=wallet.held,
        spending=Spending(wallet.spent_on, wallet.spent_in_day, wallet.spent_in_month),
        tier=owner.tier if owner else 0,
        is_platform=wallet.kind != WalletKind.USER,
    )


def _email_of(account: rules.Account, standings: dict[uuid.UUID, Standing]) -> str | None:
    return standings[account.owner_id].email if account.owner_id else None


def _clock(
    standings: dict[uuid.UUID, Standing], wallets: dict[uuid.UUID, Wallet]
) -> datetime.datetime:
    """The database's clock after the locks were got; where that stepped back, the wallets' last moment.

    A user's wallet is in every posting, so there is always a standing when there is something to post.
    """
    moments = [standing.read_at for standing in standings.values()]
    moments += [wallet.last_entry_at for wallet in wallets.values() if wallet.last_entry_at]
    return max(moments, default=datetime.datetime.now(datetime.UTC))
