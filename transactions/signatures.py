"""What is signed of a checkpoint, and by whom: Ed25519 (RFC 8032), with a key the database never sees."""

import base64
import binascii
import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from transactions.models import Checkpoint

# Before the signed text, so that the signature can mean nothing else.
_PURPOSE = b"fintech-core checkpoint 1\n"


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement's signature, and which key made it."""

    key_id: str
    signature: bytes


def statement_of(checkpoint: Checkpoint) -> str:
    """What a checkpoint says, as one line of JSON that is always written the same way."""
    return json.dumps(
        {
            "changed_root": bytes(checkpoint.changed_root).hex(),
            "changed_wallets": checkpoint.changed_count,
            "created_at": checkpoint.created_at.isoformat(),
            "entries": checkpoint.entry_count,
            "last_entry_id": checkpoint.last_entry_id,
            "number": checkpoint.number,
            "previous": bytes(checkpoint.previous).hex(),
            "root": bytes(checkpoint.root).hex(),
            "wallets": checkpoint.wallet_count,
        },
        separators=(",", ":"),
    )


def digest_of(checkpoint: Checkpoint) -> bytes:
    """By what the next checkpoint names this one."""
    return hashlib.sha256(statement_of(checkpoint).encode()).digest()


def line_of(checkpoint: Checkpoint) -> str:
    """The checkpoint as it is kept outside the database: its statement and signature, one JSON line."""
    line: dict[str, Any] = {
        "statement": statement_of(checkpoint),
        "key_id": checkpoint.key_id,
        "signature": base64.b64encode(checkpoint.signature).decode(),
    }
    return json.dumps(line, separators=(",", ":"))


def has_signing_key() -> bool:
    """Whether this process can sign at all."""
    return _signing_key() is not None


def sign(statement: str) -> Signed:
    """Sign a statement. Raises ``ImproperlyConfigured`` where there is no key."""
    key = _signing_key()
    if key is None:
        raise ImproperlyConfigured("CHECKPOINT_SIGNING_KEY is not set.")
    return Signed(key_id_of(key.public_key()), key.sign(_PURPOSE + statement.encode()))


def is_signed(checkpoint: Checkpoint) -> bool:
    """Whether a key that we know has signed what the checkpoint says."""
    key = public_keys().get(checkpoint.key_id)
    if key is None:
        return False
    try:
        key.verify(bytes(checkpoint.signature), _PURPOSE + statement_of(checkpoint).encode())
    except InvalidSignature:
        return False
    return True


def public_keys() -> dict[str, Ed25519PublicKey]:
    """The keys whose signatures count, by id: the signing key's own and ``CHECKPOINT_PUBLIC_KEYS``."""
    keys = [_public_key(text) for text in settings.CHECKPOINT_PUBLIC_KEYS]
    if own := _signing_key():
        keys.append(own.public_key())
    return {key_id_of(key): key for key in keys}


def encode_public_key(key: Ed25519PublicKey) -> str:
    """The 32 bytes in base 64, as ``CHECKPOINT_PUBLIC_KEYS`` takes them."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def key_id_of(key: Ed25519PublicKey) -> str:
    """16 hexadecimal digits of the SHA-256 of the key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _signing_key() -> Ed25519PrivateKey | None:
    text = settings.CHECKPOINT_SIGNING_KEY
    path = settings.CHECKPOINT_SIGNING_KEY_FILE
    if not text and path:
        if settings.CHECKPOINT_SIGNING_KEY_IS_MADE:
            _make_key_file(Path(path))
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"CHECKPOINT_SIGNING_KEY_FILE: {error}") from error
    return _parse_signing_key(text) if text else None


@functools.lru_cache(maxsize=4)
def _parse_signing_key(text: str) -> Ed25519PrivateKey:
    """PEM (PKCS #8, unencrypted; ``\\n`` may stand for a line break), or 32 bytes in base 64."""
    try:
        if "-----BEGIN" in text:
            pem = text.replace("\\n", "\n").encode()
            key = serialization.load_pem_private_key(pem, password=None)
            if not isinstance(key, Ed25519PrivateKey):
                raise ImproperlyConfigured("CHECKPOINT_SIGNING_KEY is not an Ed25519 key.")
            return key
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
    except (ValueError, TypeError, binascii.Error):
        # Nothing of the text is shown: it is a secret, if a broken one.
        raise ImproperlyConfigured(
            "CHECKPOINT_SIGNING_KEY is neither PEM nor 32 bytes in base 64."
        ) from None


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise ImproperlyConfigured(
            f"CHECKPOINT_PUBLIC_KEYS: {text!r} is not 32 bytes in base 64."
        ) from None


def _make_key_file(path: Path) -> None:
    """In development: a key of the data folder's own, readable by its owner alone, made once."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(
            Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    try:
        # Whoever is first wins, and nobody reads half a key.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
