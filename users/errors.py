"""What can go against a rule in this app."""

from fintech_core.exceptions import DomainError, InvalidInput
from users.identity import IdentityError


class InvalidCredentials(DomainError):
    """401: the same for a wrong password, an unknown address and an inactive account."""

    status = 401
    code = "invalid_credentials"
    title = "The email address or the password is not right."


class InvalidToken(DomainError):
    """401: not a token of ours, or one whose session has ended."""

    status = 401
    code = "invalid_token"
    title = "The token is not valid."


class TokenReused(DomainError):
    """401: a refresh token came a second time, so its whole session has been ended."""

    status = 401
    code = "token_reused"
    title = "The refresh token was used before; its session has been ended."


class KycPending(DomainError):
    """409: a submission already waits for a decision."""

    status = 409
    code = "kyc_pending"
    title = "A submission is already waiting for a decision."


class KycApproved(DomainError):
    """409: the identity has been approved; there is nothing to submit."""

    status = 409
    code = "kyc_approved"
    title = "The identity has already been approved."


class KycAlreadyDecided(DomainError):
    """409: somebody decided on this submission before."""

    status = 409
    code = "kyc_already_decided"
    title = "This submission has already been decided."


class OwnSubmission(DomainError):
    """403: nobody decides on their own identity."""

    status = 403
    code = "own_submission"
    title = "You may not decide on your own submission."


class OwnAccount(DomainError):
    """403: an operator does not shut themselves out."""

    status = 403
    code = "own_account"
    title = "You may not do this to your own account."


class PhoneMissing(DomainError):
    """409: there is no phone number to verify."""

    status = 409
    code = "phone_missing"
    title = "The account has no phone number."


class PhoneTaken(DomainError):
    """409: another account has proved that this number is its own."""

    status = 409
    code = "phone_taken"
    title = "Another account has verified this phone number."


def invalid_field(field: str, error: IdentityError) -> InvalidInput:
    """The 400 for a field that is no address or number."""
    return InvalidInput({field: [str(error)]}, {field: [error.code]})
