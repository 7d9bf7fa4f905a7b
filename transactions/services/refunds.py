"""Money that goes back by way of a wallet of the platform, and comes back where it did not arrive.

Each joins the open transaction, whose commit or end is its own, too; whoever opened it runs it by
``exactly_once(keys=KEYS)``.
"""

import uuid
from decimal import Decimal
from typing import Any

from fintech_core.fields import uuid7
from fintech_core.money import Money, format_amount
from transactions import rules
from transactions.accounts import Opened
from transactions.declines import Decline, InvalidTransactionState, ReversalExceedsOriginal
from transactions.instructions import Outcome, Request, TransactionRecord
from transactions.ledger import Journal
from transactions.models import TransactionKind, TransactionStatus
from transactions.selectors import reversed_amounts, transactions_by_id
from transactions.services.parties import require_active
from transactions.services.recording import declined, known_outcome, open_pair


def refund_within(
    *, deposit_id: uuid.UUID, request: Request, amount: Money | None = None, description: str = ""
) -> Outcome:
    """Send a deposit back where it came from, all that is left of it or a part, once per key.

    All refunds of a deposit together are never more than it, PostgreSQL sees to that, too. No limit
    counts, since the money goes back; the outcome is posted, or declined: by the wallets' state, what is
    left, the funds. Raises ``InvalidTransactionState`` for what is no posted deposit, ``CallerInactive``
    and ``IdempotencyKeyReused``.
    """
    row = transactions_by_id([deposit_id])[deposit_id]
    if (row.kind, row.status) != (TransactionKind.DEPOSIT, TransactionStatus.POSTED):
        raise InvalidTransactionState
    opened = open_pair(row.from_wallet_id, row.to_wallet_id, request)
    if known := known_outcome(opened, request):
        return known
    require_active(request, opened)
    # Read under the locks: whoever refunds this has to have them.
    left = row.amount - reversed_amounts([row.pk]).get(row.pk, Decimal(0))
    money = amount or Money(left or row.amount, row.currency)
    journal = Journal(opened)
    record = _back(row, money, TransactionKind.REFUND, request, opened, description)
    source, target = opened.accounts[row.to_wallet_id], opened.accounts[row.from_wallet_id]
    try:
        rules.require_open(source, target)
        if money.amount > left:
            remaining = format_amount(left, row.currency)
            raise ReversalExceedsOriginal(remaining=remaining, currency=row.currency)
        rules.decide_reversal(source=source, target=target, amount=money)
    except Decline as decline:
        declined(record, decline, journal)
    else:
        journal.post(record, (source, -money.amount), (target, money.amount))
    journal.write()
    return Outcome(record)


def return_within(transaction_id: uuid.UUID) -> TransactionRecord:
    """Give back a refund or a settled withdrawal that did not arrive after all, all of it and once.

    Harmless when told again. What may not be credited now raises its ``Decline`` with nothing written,
    and may be tried again.
    """
    row = transactions_by_id([transaction_id])[transaction_id]
    request = Request(
        caller_id=None,
        idempotency_key=f"return {transaction_id}",
        fingerprint=transaction_id.bytes * 2,
    )
    opened = open_pair(row.from_wallet_id, row.to_wallet_id, request)
    if known := known_outcome(opened, request):
        return known.transaction
    money = Money(row.amount, row.currency)
    journal = Journal(opened)
    record = _back(row, money, TransactionKind.REVERSAL, request, opened, "")
    source, target = opened.accounts[row.to_wallet_id], opened.accounts[row.from_wallet_id]
    rules.decide_reversal(source=source, target=target, amount=money)
    journal.post(record, (source, -money.amount), (target, money.amount))
    journal.write()
    return record


def _back(
    row: Any,
    money: Money,
    kind: TransactionKind,
    request: Request,
    opened: Opened,
    description: str,
) -> TransactionRecord:
    """The way back of ``row``: from its target to its source."""
    source, target = opened.accounts[row.to_wallet_id], opened.accounts[row.from_wallet_id]
    return TransactionRecord(
        id=uuid7(),
        kind=kind,
        status=TransactionStatus.POSTED,
        amount=money.amount,
        currency=money.currency,
        fee=money.amount * 0,
        from_wallet_id=source.id,
        to_wallet_id=target.id,
        initiated_by_id=request.caller_id,
        idempotency_key=request.idempotency_key,
        fingerprint=request.fingerprint,
        created_at=opened.moment(source, target),
        parent_id=row.pk,
        description=description,
        request_id=request.request_id,
        client_address=request.client_address,
        from_user_email=opened.email_of(source),
        to_user_email=opened.email_of(target),
    )
