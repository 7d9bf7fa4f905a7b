"""The refusals of money operations, in the words of docs/api.md.

A ``Decline`` is the answer to a well-formed request that a rule refused: it is recorded under the
request's idempotency key and replayed like a success. The other errors here use up no key.
"""

from typing import Any, ClassVar

from fintech_core.exceptions import DomainError


class Decline(DomainError):
    """422, recorded; ``facts`` are stored with it, so that a retry is told the same."""


class WalletFrozen(Decline):
    code = "wallet_frozen"
    title = "A wallet of this transfer is frozen."


class WalletClosed(Decline):
    code = "wallet_closed"
    title = "A wallet of this transfer is closed."


class CurrencyMismatch(Decline):
    code = "currency_mismatch"
    title = "The currencies of the wallets and the amount do not allow this."


class SelfTransfer(Decline):
    code = "self_transfer"
    title = "A transfer goes to somebody else."


class LimitExceeded(Decline):
    """Facts: ``limit`` (its name), ``limit_amount``, ``remaining``, ``currency``."""

    code = "limit_exceeded"
    title = "The transfer is over a limit of the payer."


class BalanceLimitExceeded(Decline):
    code = "balance_limit_exceeded"
    title = "The transfer would lift the recipient's balance over its limit."


class InsufficientFunds(Decline):
    code = "insufficient_funds"
    title = "The wallet does not hold enough."


class HoldNotPending(Decline):
    """Facts: ``hold_status``, how the API shows it."""

    code = "hold_not_pending"
    title = "There is nothing held any more, or never was."


class CaptureExceedsHold(Decline):
    """Facts: ``remaining``, ``currency``."""

    code = "capture_exceeds_hold"
    title = "The capture is more than what is left of the hold."


class ReversalExceedsOriginal(Decline):
    """Facts: ``remaining``, ``currency``."""

    code = "reversal_exceeds_original"
    title = "The reversal is more than what is left of the original."


class QuoteExpired(Decline):
    code = "quote_expired"
    title = "The quote has run out; ask for another one."


DECLINES: dict[str, type[Decline]] = {decline.code: decline for decline in Decline.__subclasses__()}


class BatchRefused(DomainError):
    """422: one transfer of an atomic batch may not happen, so none did; ``index`` tells which.

    Code, title and facts are those of its cause.
    """

    def __init__(self, index: int, cause: DomainError, **facts: Any) -> None:
        super().__init__(cause.detail, **{**cause.facts, **facts, "index": index})
        # Of this error alone, not of all of its class.
        self.__dict__.update(code=cause.code, title=cause.title)


class KycRequired(DomainError):
    """403: the payer's identity is not approved yet; approved, the same key may be used again."""

    status: ClassVar[int] = 403
    code = "kyc_required"
    title = "Sending money needs an approved identity check."


class CallerInactive(DomainError):
    """401: the caller was deactivated while the request was on its way."""

    status: ClassVar[int] = 401
    code = "invalid_token"
    title = "The access token is not valid."


class RecipientNotFound(DomainError):
    """404: nobody goes by that email, phone or wallet."""

    status: ClassVar[int] = 404
    code = "recipient_not_found"
    title = "There is no such recipient."


class SourceWalletNotFound(DomainError):
    """404: the caller has no such wallet."""

    status: ClassVar[int] = 404
    code = "wallet_not_found"
    title = "There is no such wallet."


class NotTheRecipient(DomainError):
    """403: the caller sees the transaction, but it is its recipient's to decide, or staff's."""

    status: ClassVar[int] = 403
    code = "permission_denied"
    title = "Only its recipient may do this."


class HoldNotExpired(DomainError):
    """403: the payer may take money back from a hold after its expiry. Facts: ``expires_at``."""

    status: ClassVar[int] = 403
    code = "hold_not_expired"
    title = "The payer may void a hold once it has expired."


class InvalidTransactionState(DomainError):
    """409: what kind of transaction it is, or what became of it, does not allow this."""

    status: ClassVar[int] = 409
    code = "invalid_state"
    title = "This transaction does not allow that."


class QuoteNotFound(DomainError):
    """404: the caller has no such quote."""

    status: ClassVar[int] = 404
    code = "quote_not_found"
    title = "There is no such quote."


class QuoteUsed(DomainError):
    """409: the quote already served another conversion."""

    status: ClassVar[int] = 409
    code = "quote_used"
    title = "The quote was used; ask for another one."


class RateUnavailable(DomainError):
    """503: nobody says at the moment what the two currencies are worth."""

    status: ClassVar[int] = 503
    code = "rate_unavailable"
    title = "There is no current rate for these currencies."
    retryable = True
    retry_after: ClassVar[int | None] = 60


class IdempotencyKeyReused(DomainError):
    """422, not recorded: the key already belongs to another request of this caller."""

    code = "idempotency_key_reused"
    title = "This idempotency key was used for another request; use a new key."


class IdempotencyKeyRequired(DomainError):
    """400: a request that moves money came without a key."""

    status: ClassVar[int] = 400
    code = "idempotency_key_required"
    field = "idempotency_key"
    title = "Send an Idempotency-Key header or an idempotency_key field."


class InvalidIdempotencyKey(DomainError):
    """400: the key is not 1 to 255 printable ASCII characters, or header and body differ."""

    status: ClassVar[int] = 400
    code = "invalid_idempotency_key"
    field = "idempotency_key"
    title = "An idempotency key has 1 to 255 printable ASCII characters, without blanks."


class TooManySchedules(DomainError):
    """409: the caller has as many active schedules as one may have; canceling one makes room."""

    status: ClassVar[int] = 409
    code = "too_many_schedules"
    title = "You have as many active schedules as one may have."


class TooManyHolds(DomainError):
    """409: the wallet has as many open holds as one may have. Fact: ``limit``."""

    status: ClassVar[int] = 409
    code = "too_many_holds"
    title = "The wallet has as many open holds as one may have."


class ScheduleIsDone(DomainError):
    """409: the schedule had its last run."""

    status: ClassVar[int] = 409
    code = "invalid_state"
    title = "The schedule is done; there is nothing left to cancel."


def decline_of(code: str, facts: dict[str, Any] | None) -> Decline:
    """The decline as it was recorded. Raises ``KeyError`` for a code that was never one."""
    return DECLINES[code](**(facts or {}))
