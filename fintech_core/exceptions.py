"""Errors of the domain. They know their HTTP status and stable ``code``, and nothing else of HTTP.

Services raise them; ``fintech_core.problems`` turns them into answers.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class DomainError(Exception):
    """Something the caller can understand went against a rule.

    ``facts`` are further members of the problem details: plain JSON values, nothing secret.
    """

    status: ClassVar[int] = 422
    code: ClassVar[str] = "error"
    title: ClassVar[str] = "The request was refused."
    # Of a 400: the field it is about.
    field: ClassVar[str] = "non_field_errors"
    retryable: ClassVar[bool] = False
    retry_after: ClassVar[int | None] = None

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.facts = facts


class InvalidInput(DomainError):
    """400: one or more fields are not acceptable. ``errors`` and ``codes`` are keyed by field."""

    status = 400
    code = "validation_error"
    title = "The request is not valid."

    def __init__(
        self, errors: Mapping[str, list[str]], codes: Mapping[str, list[str]] | None = None
    ) -> None:
        super().__init__(errors=dict(errors), codes=dict(codes or {k: ["invalid"] for k in errors}))


class MalformedJSON(DomainError):
    """400: the body is not one JSON document as RFC 8259 and docs/api.md want it."""

    status = 400
    code = "malformed_json"
    title = "The body is not valid JSON."


class InvalidCursor(DomainError):
    """400: the ``cursor`` parameter was not made by this API."""

    status = 400
    code = "invalid_cursor"
    field = "cursor"
    title = "The cursor is not valid."


class NotFound(DomainError):
    """404: there is no such thing, or it is not the caller's."""

    status = 404
    code = "not_found"
    title = "Not found."


class TooManyRequests(DomainError):
    """429: the caller has to wait ``retry_after`` seconds."""

    status = 429
    code = "throttled"
    title = "Too many requests."
    retryable = True

    def __init__(self, *, wait: int) -> None:
        super().__init__(f"Try again in {wait} seconds.")
        self.wait = wait


class RequestInProgress(DomainError):
    """409: another request holds what this one needs, such as a twin with the same key; retry."""

    status = 409
    code = "request_in_progress"
    title = "Another request is still at work on this; try again."
    retryable = True
    retry_after = 1


class ServiceUnavailable(DomainError):
    """503: nothing happened; the same request may be sent again."""

    status = 503
    code = "service_unavailable"
    title = "The service is not available right now; nothing was done."
    retryable = True
    retry_after = 1


class TookTooLong(ServiceUnavailable):
    """503: a statement was ended after the longest that one may take; nothing happened."""


class PostingsHalted(ServiceUnavailable):
    """503: the books did not agree, and no money moves until an operator lets it; nothing was done."""

    code = "postings_halted"
    title = "No money moves at the moment; nothing was done."
    retry_after = 60


class OutcomeUnknown(DomainError):
    """503: the database went away during the commit; ask again with the same key."""

    status = 503
    code = "outcome_unknown"
    title = "The outcome is not known; repeat the request with the same idempotency key."
    retryable = True
    retry_after = 1
