"""Money that leaves by way of a wallet of the platform: held first, then gone or given back.

Each joins the open transaction, whose commit or end is its own, too; whoever opened it runs it by
``exactly_once(keys=KEYS)``. Only who pays the money out knows whether it left: so no user ends these
holds, and they practically never expire.
"""

import datetime
import uuid
from decimal import Decimal

from fintech_core.fields import uuid7
from fintech_core.money import Money
from transactions import rules
from transactions.accounts import HoldRecord, Opened, open_accounts
from transactions.declines import Decline
from transactions.instructions import Outcome, Request, TransactionRecord
from transactions.ledger import Journal
from transactions.models import TransactionKind, TransactionStatus
from transactions.selectors import records_by_key, transactions_by_id
from transactions.services.parties import require_active
from transactions.services.recording import declined, known_outcome, open_pair
from wallet.models import HoldStatus

WITHDRAWAL_HOLD_LIFETIME = datetime.timedelta(days=3650)


def hold_withdrawal_within(
    *,
    source_id: uuid.UUID,
    target_id: uuid.UUID,
    amount: Money,
    request: Request,
    description: str = "",
) -> Outcome:
    """Reserve money of the caller's wallet that is to leave by the platform's wallet, once per key.

    The outcome is pending, or declined by the wallet's state, currency, limits or funds, in the order of
    docs/api.md. Raises ``KycRequired``, ``CallerInactive``, ``IdempotencyKeyReused`` and
    ``TooManyHolds``.
    """
    opened = open_pair(source_id, target_id, request)
    if known := known_outcome(opened, request):
        return known
    require_active(request, opened)
    source, target = opened.accounts[source_id], opened.accounts[target_id]
    journal = Journal(opened)
    rules.require_room_for_hold(source)
    record = TransactionRecord(
        id=uuid7(),
        kind=TransactionKind.WITHDRAWAL,
        status=TransactionStatus.PENDING,
        amount=amount.amount,
        currency=amount.currency,
        fee=amount.amount * 0,
        from_wallet_id=source_id,
        to_wallet_id=target_id,
        initiated_by_id=request.caller_id,
        idempotency_key=request.idempotency_key,
        fingerprint=request.fingerprint,
        created_at=opened.moment(source, target),
        description=description,
        request_id=request.request_id,
        client_address=request.client_address,
        from_user_email=opened.email_of(source),
    )
    try:
        rules.decide_transfer(
            source=source,
            target=target,
            amount=amount,
            fee=record.fee,
            today=opened.read_at.date(),
        )
    except Decline as decline:
        declined(record, decline, journal)
    else:
        journal.reserve(record, WITHDRAWAL_HOLD_LIFETIME)
    journal.write()
    return Outcome(record)


def settle_withdrawal_within(hold_id: uuid.UUID) -> TransactionRecord:
    """The money has left: capture the hold, all of it. Returns the withdrawal that posted it.

    It is told what happened, so that it asks for no state of the wallets: the money was reserved before a
    wallet was frozen, and is gone. Harmless when told again. Raises ``HoldNotPending``.
    """
    opened, hold, known = _open_hold(hold_id, "settle")
    if known is not None:
        return known
    journal = Journal(opened, spared=[hold_id])
    record = _act(hold, hold.remaining, TransactionStatus.POSTED, "settle", opened)
    journal.capture(hold, hold.remaining, Decimal(0), final=True)
    source, target = opened.accounts[hold.wallet_id], opened.accounts[hold.to_wallet_id]
    journal.post(record, (source, -record.amount), (target, record.amount))
    journal.write()
    return record


def release_withdrawal_within(hold_id: uuid.UUID) -> TransactionRecord:
    """The money will not leave: give the hold back, once. Harmless when told again."""
    opened, hold, known = _open_hold(hold_id, "release")
    if known is not None:
        return known
    journal = Journal(opened, spared=[hold_id])
    record = _act(hold, hold.remaining, TransactionStatus.VOIDED, "release", opened)
    journal.end(hold, HoldStatus.VOIDED)
    journal.add(record)
    journal.write()
    return record


def _open_hold(hold_id: uuid.UUID, act: str) -> tuple[Opened, HoldRecord, TransactionRecord | None]:
    """The locked hold, and what ended it in this way already."""
    row = transactions_by_id([hold_id])[hold_id]
    opened = open_accounts(
        wallets=[row.from_wallet_id, row.to_wallet_id],
        holds=[hold_id],
        keys=[(None, f"{act} {hold_id}")],
    )
    known = records_by_key(opened.known_transactions).get((None, f"{act} {hold_id}"))
    hold = opened.holds[hold_id]
    return opened, hold if known else rules.require_pending(hold, hold.status), known


def _act(
    hold: HoldRecord, amount: Decimal, status: TransactionStatus, act: str, opened: Opened
) -> TransactionRecord:
    """What ends the hold; its key makes it happen once."""
    source, target = opened.accounts[hold.wallet_id], opened.accounts[hold.to_wallet_id]
    return TransactionRecord(
        id=uuid7(),
        kind=hold.kind,
        status=status,
        amount=amount,
        currency=hold.currency,
        fee=amount * 0,
        from_wallet_id=hold.wallet_id,
        to_wallet_id=hold.to_wallet_id,
        initiated_by_id=None,
        idempotency_key=f"{act} {hold.id}",
        fingerprint=hold.id.bytes * 2,
        created_at=opened.moment(source, target),
        parent_id=hold.id,
        from_user_email=opened.email_of(source),
    )
