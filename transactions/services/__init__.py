"""Moving money: one public function per use case. All of them end in a ``ledger.Journal``.

Every operation reads as five beats: lock, replay, rules, ledger, announcement. A transaction row is its
own announcement for now: it is what other parts of the platform and the payer's retries read.
"""

from fintech_core.exceptions import DomainError
from transactions.instructions import Outcome, TransferInstruction
from transactions.services.closing import close_wallet
from transactions.services.conversions import ConversionInstruction, convert
from transactions.services.deposits import deposit
from transactions.services.quotes import add_rate, prune_quotes, quote_conversion
from transactions.services.transfers import transfer_many

__all__ = [
    "ConversionInstruction",
    "add_rate",
    "close_wallet",
    "convert",
    "deposit",
    "prune_quotes",
    "quote_conversion",
    "transfer",
    "transfer_many",
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
