"""What all operations share: keys and their replays, recorded declines, fee wallets."""

import random
import uuid
from collections.abc import Iterable

from django.conf import settings

from transactions.declines import Decline, IdempotencyKeyReused
from transactions.instructions import Outcome, TransactionRecord
from transactions.ledger import Journal
from transactions.models import TransactionStatus
from wallet.models import WalletKind
from wallet.services import platform_wallet_id

# The constraint that gives a key to one transaction of its caller.
KEYS = "idempotency_key_is_unique_per_caller"


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
