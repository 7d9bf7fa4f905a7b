"""Money that goes back: a refund by who received it, or the undoing of a transfer by an operator."""

import uuid
from decimal import Decimal
from typing import Any

from events.services import record_audit
from fintech_core.database import exactly_once
from fintech_core.exceptions import InvalidInput
from fintech_core.fields import uuid7
from fintech_core.money import InvalidMoney, Money, format_amount
from transactions import rules
from transactions.accounts import Opened, open_accounts
from transactions.declines import (
    Decline,
    InvalidTransactionState,
    NotTheRecipient,
    ReversalExceedsOriginal,
)
from transactions.instructions import Outcome, Request, TransactionRecord
from transactions.ledger import Journal
from transactions.models import TransactionKind, TransactionStatus
from transactions.selectors import reversed_amounts, transactions_by_id
from transactions.services.parties import Side, require_active, side_of
from transactions.services.recording import KEYS, declined, known_outcome


def reverse_transaction(
    *,
    transaction_id: uuid.UUID,
    request: Request,
    is_operator: bool = False,
    amount: str | None = None,
    reason: str = "",
) -> Outcome:
    """Give back a transfer, or what was captured of a hold, all that is left or a part; once per key.

    By its recipient or an operator, out of the recipient's own funds; the fee stays where it is. All
    reversals together are never more than what was posted. The outcome is posted, or declined: by the
    state of the wallets, what is left, the recipient's funds, the payer's largest balance. Raises, with
    nothing written: ``NotFound``, ``NotTheRecipient``, ``InvalidInput``, ``InvalidTransactionState`` for
    what is not a transfer that moved money, ``IdempotencyKeyReused``, ``CallerInactive``, and what
    ``exactly_once`` does.
    """
    rows = transactions_by_id([transaction_id])
    side = side_of(rows, transaction_id, request, is_operator=is_operator)
    if side is Side.PAYER:
        raise NotTheRecipient
    row = _original(rows[transaction_id])
    try:
        asked = None if amount is None else Money.parse(amount, row.currency)
    except InvalidMoney as error:
        raise InvalidInput({"amount": [str(error)]}) from None

    def work() -> Outcome:
        opened = open_accounts(
            wallets=[row.from_wallet_id, row.to_wallet_id],
            # An operator's own wallet: who claims a key of the caller's holds its lock.
            primaries=[request.caller_id] if request.caller_id else [],
            users=[request.caller_id] if request.caller_id else [],
            holds=[row.pk],
            keys=[(request.caller_id, request.idempotency_key)],
        )
        if known := known_outcome(opened, request):
            return known
        require_active(request, opened)
        posted = _posted_amount(row, opened)
        # Read under the locks: whoever reverses this has to have them.
        left = posted - reversed_amounts([row.pk]).get(row.pk, Decimal(0))
        money = asked or Money(left or posted or row.amount, row.currency)
        journal = Journal(opened)
        record = _record(row, money, reason, request, opened)
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
        if side is Side.OPERATOR and request.caller_id and record.decline is None:
            record_audit(
                action="transaction.reversed",
                subject_type="transaction",
                subject_id=row.pk,
                actor_id=request.caller_id,
                after={"reversal": str(record.id), "amount": str(money)},
                reason=reason,
            )
        return Outcome(record)

    return exactly_once(work, keys=KEYS)


def _original(row: Any) -> Any:
    """The transfer itself; of a capture, the hold that it belongs to."""
    if row.kind != TransactionKind.TRANSFER or row.status == TransactionStatus.DECLINED:
        raise InvalidTransactionState
    return transactions_by_id([row.parent_id])[row.parent_id] if row.parent_id else row


def _posted_amount(row: Any, opened: Opened) -> Decimal:
    """How much of it reached its recipient."""
    if row.status == TransactionStatus.PENDING:
        return opened.holds[row.pk].captured_amount
    amount: Decimal = row.amount
    return amount


def _record(
    row: Any, money: Money, reason: str, request: Request, opened: Opened
) -> TransactionRecord:
    source, target = opened.accounts[row.to_wallet_id], opened.accounts[row.from_wallet_id]
    return TransactionRecord(
        id=uuid7(),
        kind=TransactionKind.REVERSAL,
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
        description=reason,
        request_id=request.request_id,
        client_address=request.client_address,
        from_user_email=opened.email_of(source),
        to_user_email=opened.email_of(target),
    )
