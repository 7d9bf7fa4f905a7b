"""Moving money: one public function per use case. All of them end in a ``ledger.Journal``.

Every operation reads as five beats: lock, replay, rules, ledger, announcement. The announcement is a row
of the outbox, written by the ledger in the same statement.
"""

from fintech_core.exceptions import (
    DomainError,
)
from transactions.instructions import (
    Outcome,
    TransferInstruction,
)
from transactions.services.checkpoints import (
    take_checkpoint,
)
from transactions.services.closing import (
    close_wallet,
)
from transactions.services.conversions import (
    ConversionInstruction,
    convert,
)
from transactions.services.deposits import (
    DepositInstruction,
    deposit,
    deposit_within,
    refuse_deposit_within,
)
from transactions.services.grouping import (
    PostingGroup,
)
from transactions.services.halts import (
    clear_halt,
    raise_halt,
)
from transactions.services.holds import (
    capture_hold,
    capture_holds,
    expire_holds,
    void_hold,
    void_holds,
    void_request,
)
from transactions.services.quotes import (
    add_rate,
    prune_quotes,
    quote_conversion,
)
from transactions.services.recording import (
    KEYS,
    claim_key_within,
)
from transactions.services.refunds import (
    refund_within,
    return_within,
)
from transactions.services.reversals import (
    reverse_transaction,
)
from transactions.services.schedules import (
    PlannedSchedule,
    ScheduleInstruction,
    cancel_schedule,
    create_schedule,
    run_due_schedules,
)
from transactions.services.transfers import (
    post_group,
    transfer_all_or_none,
    transfer_many,
)
from transactions.services.verification import (
    verify,
    verify_or_halt,
)
from transactions.services.withdrawals import (
    hold_withdrawal_within,
    release_withdrawal_within,
    settle_withdrawal_within,
)

__all__ = [
    "KEYS",
    "ConversionInstruction",
    "DepositInstruction",
    "PlannedSchedule",
    "ScheduleInstruction",
    "add_rate",
    "cancel_schedule",
    "capture_hold",
    "capture_holds",
    "claim_key_within",
    "clear_halt",
    "close_wallet",
    "convert",
    "create_schedule",
    "deposit",
    "deposit_within",
    "expire_holds",
    "hold_withdrawal_within",
    "posting_group",
    "prune_quotes",
    "quote_conversion",
    "raise_halt",
    "refund_within",
    "refuse_deposit_within",
    "release_withdrawal_within",
    "return_within",
    "reverse_transaction",
    "run_due_schedules",
    "settle_withdrawal_within",
    "take_checkpoint",
    "transfer",
    "transfer_all_or_none",
    "transfer_many",
    "verify",
    "verify_or_halt",
    "void_hold",
    "void_holds",
    "void_request",
]

posting_group = PostingGroup(together=post_group, alone=transfer_many)


def transfer(instruction: TransferInstruction) -> Outcome:
    """Move money from the caller to a recipient, once per idempotency key.

    It may share its commit with transfers of other callers; each has its own outcome: a posted or a
    declined transaction, or with ``hold_for`` a pending one; on disk, and the same for a retry.
    Raises, with nothing written: ``InvalidInput`` for an amount its currency cannot have,
    ``RecipientNotFound``, ``SourceWalletNotFound``, ``IdempotencyKeyReused``, ``KycRequired``,
    ``CallerInactive``, with ``hold_for`` ``TooManyHolds``; ``RequestInProgress`` and
    ``ServiceUnavailable`` to be tried again; and ``OutcomeUnknown`` when the database went away during
    the commit.
    """
    result = posting_group.post(instruction)
    if isinstance(result, DomainError):
        raise result
    return result
