"""Moving money: one public function per use case. All of them end in a ``ledger.Journal``.

Every operation reads as five beats: lock, replay, rules, ledger, announcement. A transaction row is its
own announcement for now: it is what other parts of the platform and the payer's retries read.
"""

from fintech_core.exceptions import DomainError
from transactions.instructions import Outcome, TransferInstruction
from transactions.services.deposits import deposit
from transactions.services.holds import (
    capture_hold,
    capture_holds,
    expire_holds,
    void_hold,
    void_holds,
    void_request,
)
from transactions.services.reversals import reverse_transaction
from transactions.services.transfers import transfer_many

__all__ = [
    "capture_hold",
    "capture_holds",
    "deposit",
    "expire_holds",
    "reverse_transaction",
    "transfer",
    "transfer_many",
    "void_hold",
    "void_holds",
    "void_request",
]


def transfer(instruction: TransferInstruction) -> Outcome:
    """Move money from the caller to a recipient, once per idempotency key.

    The outcome is a posted or a declined transaction, or with ``hold_for`` a pending one; it is on disk,
    and a retry gets the same one. Raises, with nothing written: ``InvalidInput`` for an amount its
    currency cannot have, ``RecipientNotFound``, ``SourceWalletNotFound``, ``IdempotencyKeyReused``,
    ``KycRequired``, ``CallerInactive``; ``RequestInProgress`` and ``ServiceUnavailable`` to be tried
    again; and ``OutcomeUnknown`` when the database went away during the commit.
    """
    [result] = transfer_many([instruction])
    if isinstance(result, DomainError):
        raise result
    return result
