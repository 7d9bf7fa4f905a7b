"""Where identity documents lie: a private folder that no web server and no URL reaches."""

import secrets
from typing import Any, NoReturn

from django.conf import settings
from django.core.files.storage import FileSystemStorage


class PrivateStorage(FileSystemStorage):
    """Files that only the service's own account may read, and that have no address."""

    def url(self, name: str | None) -> NoReturn:
        raise ValueError("Private files have no URL.")


def document_storage() -> PrivateStorage:
    """Called by the model field, so that no path is written into a migration."""
    return PrivateStorage(
        location=settings.MEDIA_ROOT, file_permissions_mode=0o600, directory_permissions_mode=0o700
    )


def document_name(instance: Any, filename: str) -> str:
    """A random name; nothing of what the file was called on the user's machine is kept."""
    return f"kyc/{secrets.token_hex(16)}.jpg"
