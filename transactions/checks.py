"""What ``manage.py check`` says of the evidence: whether it is made, and whether it could be."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register
from django.core.exceptions import ImproperlyConfigured

from transactions.signatures import has_signing_key, public_keys


@register
def checkpoints_are_signed(**_: Any) -> list[CheckMessage]:
    """A warning where nothing is signed, an error for keys that cannot be read."""
    if settings.CHECKPOINT_SIGNING_KEY_IS_MADE:
        return []
    try:
        public_keys()
        is_signing = has_signing_key()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="transactions.E001")]
    if is_signing:
        return []
    return [
        checks.Warning(
            "This process cannot sign checkpoints of the ledger: who can rewrite the whole database"
            " could do so unseen.",
            hint="Give the worker CHECKPOINT_SIGNING_KEY or CHECKPOINT_SIGNING_KEY_FILE.",
            id="transactions.W001",
        )
    ]
