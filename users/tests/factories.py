"""Users and clients for the tests of every app; each call makes new ones."""

import functools
import io
import secrets
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.utils import timezone
from PIL import Image
from rest_framework.test import APIClient

from users import services
from users.models import KycStatus, User
from users.tokens import TokenPair

PASSWORD = "correct horse battery staple"

T = TypeVar("T")


def unique_email(name: str = "user") -> str:
    return f"{name}-{uuid.uuid4().hex}@example.com"


def unique_phone() -> str:
    """A possible number in E.164."""
    return f"+1650{secrets.randbelow(8_000_000) + 2_000_000}"


def unique_address() -> str:
    """An address of its own for each client, so that tests do not use up each other's attempts."""
    return f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"


@functools.cache
def _hash_of(password: str) -> str:
    return make_password(password)


def make_user(
    *, email: str | None = None, password: str = PASSWORD, tier: int = 0, **fields: Any
) -> User:
    """A committed user; with a tier, their identity check is approved."""
    if tier:
        fields.setdefault("kyc_status", KycStatus.APPROVED)
        fields.setdefault("kyc_expires_at", timezone.now() + timedelta(days=365))
    user = User(email=email or unique_email(), kyc_tier=tier, **fields)
    user.password = _hash_of(password)
    user.save(force_insert=True)
    return user


def make_staff(*permissions: str, **fields: Any) -> User:
    """An operator who holds these permissions (``users.decide_kyc``)."""
    user = make_user(is_staff=True, **fields)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return User.objects.get(pk=user.pk)


def tokens(user: User) -> TokenPair:
    """A fresh session's access and refresh token."""
    return services.open_session(user=user)


def access_token(user: User) -> str:
    return tokens(user).access


class JSONClient(APIClient):
    """Sends JSON where nothing else is said, from an address of its own."""

    default_format = "json"

    def __init__(self, **defaults: Any) -> None:
        super().__init__(**{"REMOTE_ADDR": unique_address(), **defaults})


def api_client(user: User | None = None, **defaults: Any) -> JSONClient:
    """A client that is signed in as the user, or as nobody."""
    client = JSONClient(**defaults)
    if user is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_token(user)}")
    return client


def picture(
    *,
    size: tuple[int, int] = (400, 300),
    kind: str = "JPEG",
    name: str = "passport.jpg",
    **save: Any,
) -> SimpleUploadedFile:
    """A picture as an upload."""
    content = io.BytesIO()
    Image.new("RGB", size, "teal").save(content, format=kind, **save)
    return SimpleUploadedFile(name, content.getvalue(), content_type="image/jpeg")


def kyc_form(**changes: Any) -> dict[str, Any]:
    """The fields of a good submission; None takes one away."""
    form = {
        "legal_name": "Ada Lovelace",
        "date_of_birth": "1990-12-10",
        "country": "GB",
        "address": "12 St James's Square, London",
        "document_type": "passport",
        "document_number": "X1234567",
        "document_front": picture(),
        **changes,
    }
    return {name: value for name, value in form.items() if value is not None}


def at_once(count: int, act: Callable[[int], T]) -> list[T]:
    """Run so many threads of ``act`` at the same moment; results by index. An exception is raised."""
    barrier = threading.Barrier(count)
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            barrier.wait(timeout=30)
            results[index] = act(index)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if errors:
        raise errors[0]
    return [results[index] for index in range(count)]
