"""The one canonical form of what names a person: email address and phone number.

Text is taken or refused, never repaired: no trimming, no look-alike characters, nothing dropped.
"""

import functools
import re

import phonenumbers
from email_validator import EmailNotValidError, validate_email

_LOCAL_PART_MAX = 64
_EMAIL_MAX = 254

# A leading plus, then digits with the separators people write; no letters, no extension.
_PHONE = re.compile(r"\+[0-9][0-9 ().-]{5,30}", re.ASCII)
_NOT_DIGITS = re.compile(r"[^0-9]", re.ASCII)


class IdentityError(ValueError):
    """The text is no acceptable address or number; ``code`` is the stable word for it."""

    code = "invalid"


class InvalidEmail(IdentityError):
    """Not an email address this platform takes."""

    code = "invalid_email"

    def __init__(self) -> None:
        super().__init__("Enter an email address such as name@example.com, in ASCII.")


class InvalidPhone(IdentityError):
    """Not an international phone number."""

    code = "invalid_phone"

    def __init__(self) -> None:
        super().__init__("Enter a phone number with its country code, such as +16502530000.")


def normalize_email(text: str) -> str:
    """The address in lower case, at most 64 characters before the @ and 254 in all.

    Takes ASCII only (an international domain as its A-label), so no two characters that look or
    fold alike can name two accounts. Raises ``InvalidEmail``; also for blanks around it, quoted
    local parts, addresses in brackets and domains without a dot.
    """
    if not isinstance(text, str) or not text.isascii() or len(text) > _EMAIL_MAX:
        raise InvalidEmail
    return _canonical_address(text)


@functools.lru_cache(maxsize=8_192)
def _canonical_address(text: str) -> str:
    """Remembered for those who are paid often: to judge an address anew costs as much as to find it."""
    try:
        # The "test environment" permits the reserved domain .test; nothing is looked up either way.
        parsed = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise InvalidEmail from None
    address = (parsed.ascii_email or "").lower()
    local_part, _, domain = address.rpartition("@")
    if not local_part or len(local_part) > _LOCAL_PART_MAX or "." not in domain:
        raise InvalidEmail
    if address != text.lower():
        raise InvalidEmail
    return address


def normalize_phone(text: str) -> str:
    """The number in E.164 (``+16502530000``); only separators are dropped, never a digit.

    Raises ``InvalidPhone`` for anything without a country code, with letters, an extension or
    parameters, and for numbers whose length no country uses.
    """
    if not isinstance(text, str) or not _PHONE.fullmatch(text):
        raise InvalidPhone
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise InvalidPhone from None
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise InvalidPhone
    canonical = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if canonical != "+" + _NOT_DIGITS.sub("", text) or len(canonical) > 16:
        raise InvalidPhone
    return canonical
