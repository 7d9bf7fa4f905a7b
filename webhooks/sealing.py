"""Secrets at rest: what signs webhooks is encrypted by a key that the database never sees."""

import base64
import functools

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(Exception):
    """It was sealed by a key that is not configured any more."""


def seal(text: str) -> str:
    """Encrypt with ``WEBHOOK_SECRETS_KEY``."""
    return _box().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypt what that key or one of ``WEBHOOK_SECRETS_OLD_KEYS`` sealed. Raises ``Unreadable``."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable from None


def seal_anew(sealed: str) -> str:
    """The same secret, sealed by the present key. Raises ``Unreadable``."""
    return seal(unseal(sealed))


def _box() -> MultiFernet:
    return _box_of(settings.WEBHOOK_SECRETS_KEY, tuple(settings.WEBHOOK_SECRETS_OLD_KEYS))


@functools.lru_cache(maxsize=4)
def _box_of(key: str, old_keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(each)) for each in (key, *old_keys)])


def _derived(key: str) -> bytes:
    """32 bytes of the key for this one purpose (RFC 5869)."""
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"webhook secrets")
    return base64.urlsafe_b64encode(kdf.derive(key.encode()))
