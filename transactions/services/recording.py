"""What all operations share: keys and their replays, recorded declines, fee wallets."""

import random
import uuid
from collections.abc import Iterable

from django.conf import settings

from transactions.accounts import Opened, open_accounts
from transactions.declines import Decline, IdempotencyKeyReused
from transactions.instructions import Outcome, Request, TransactionRecord
from transactions.ledger import Journal
from transactions.models import ClaimedKey, TransactionStatus
from transactions.selectors import records_by_key
from wallet.models import WalletKind
from wallet.services import platform_wallet_id

# The constraint that gives a key to one transaction of its caller.
KEYS = "idempotency_key_is_unique_per_caller"


def open_pair(source_id: uuid.UUID, target_id: uuid.UUID, request: Request) -> Opened:
    """Lock two wallets, and read what a request that moves money between them is decided by.

    The caller's primary wallet is locked, too: whoever else uses a key of the caller's waits.
    """
    return open_accounts(
        wallets=[source_id, target_id],
        primaries=[request.caller_id] if request.caller_id else [],
        users=[request.caller_id] if request.caller_id else [],
        keys=[(request.caller_id, request.idempotency_key)],
    )


def known_outcome(opened: Opened, request: Request) -> Outcome | None:
    """The first answer to this request; None where its key is new.

    Raises ``IdempotencyKeyReused`` where the caller used the key for another one.
    """
    key = (request.caller_id, request.idempotency_key)
    require_unclaimed(opened, *key)
    first = records_by_key(opened.known_transactions).get(key)
    return replay(first, request.fingerprint) if first else None


def require_unclaimed(opened: Opened, caller_id: uuid.UUID | None, key: str) -> None:
    """The key is free, or a transaction's; else ``IdempotencyKeyReused``."""
    if opened.claimed_keys and (caller_id, key) in opened.claimed_keys:
        raise IdempotencyKeyReused


def claim_key_within(caller_id: uuid.UUID, idempotency_key: str) -> None:
    """From the commit on, no money moves by the caller's key, which is used for something else.

    Joins the open transaction, which has locked all wallets of the caller and then found the key free.
    """
    ClaimedKey.objects.create(caller_id=caller_id, idempotency_key=idempotency_key)


def replay(record: TransactionRecord, fingerprint: bytes) -> Outcome:
    """The first answer to the same request; raises ``IdempotencyKeyReused`` for another one."""
    if record.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    return Outcome(record, is_replay=True)


def declined(record: TransactionRecord, decline: Decline, journal: Journal) -> TransactionRecord:
    """Record that the rules refused it, with what they said; nothing has moved."""
    record.status = TransactionStatus.DECLINED
    record.decline_code = decline.code
    record.facts = decline.facts or None
    journal.add(record)
    return record


def fee_wallets() -> dict[str, uuid.UUID]:
    """By currency, the wallet that takes the fees of one batch; empty while nothing costs a fee.

    One of several, at random: so fees taken by many processes do not queue behind one row.
    """
    return fee_wallets_of(settings.LIMITS[0]) if settings.FEES else {}


def fee_wallets_of(currencies: Iterable[str]) -> dict[str, uuid.UUID]:
    """The same for these currencies, where a fee was agreed on already."""
    stripe = random.randrange(settings.PLATFORM_WALLET_STRIPES)  # noqa: S311  # nosec B311
    return {
        currency: platform_wallet_id(
            purpose=f"fees/{stripe}", kind=WalletKind.FEES, currency=currency
        )
        for currency in currencies
    }
