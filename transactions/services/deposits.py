"""Money that comes in from outside, by way of a wallet of the platform."""

import uuid

from fintech_core.database import exactly_once
from fintech_core.fields import uuid7
from fintech_core.money import Money
from transactions import rules
from transactions.accounts import open_accounts
from transactions.declines import Decline
from transactions.instructions import Outcome, Request, TransactionRecord
from transactions.ledger import Journal
from transactions.models import TransactionKind, TransactionStatus
from transactions.selectors import records_by_key
from transactions.services.recording import KEYS, declined, replay


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

    def work() -> Outcome:
        key = (request.caller_id, request.idempotency_key)
        opened = open_accounts(wallets=[source_id, target_id], keys=[key])
        found = records_by_key(opened.known_transactions)
        if key in found:
            return replay(found[key], request.fingerprint)
        source, target = opened.accounts[source_id], opened.accounts[target_id]
        journal = Journal(opened)
        record = TransactionRecord(
            id=uuid7(),
            kind=TransactionKind.DEPOSIT,
            status=TransactionStatus.POSTED,
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
            to_user_email=opened.email_of(target),
        )
        try:
            rules.decide_deposit(source=source, target=target, amount=amount)
        except Decline as decline:
            declined(record, decline, journal)
        else:
            journal.post(record, (source, -amount.amount), (target, amount.amount))
        journal.write()
        return Outcome(record)

    return exactly_once(work, keys=KEYS)
