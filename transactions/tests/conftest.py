"""Evidence of tests: a key of their own, and tampering that is never committed."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connection, transaction

from fintech_core.settings import database


@pytest.fixture
def evidence(committed: None, settings: Any, tmp_path: Path) -> None:
    """Checkpoints are signed by the tests' own key, and written to a file of the test's own."""
    settings.CHECKPOINT_SIGNING_KEY = base64.b64encode(b"\x01" * 32).decode()
    settings.CHECKPOINT_PUBLIC_KEYS = []
    settings.CHECKPOINT_LOG = tmp_path / "checkpoints.jsonl"


@pytest.fixture
def tampering(evidence: None) -> Iterator[type[transaction.Atomic]]:
    """A block in which Django is the database's owner and no trigger refuses; nothing of it is kept."""

    class Tampering(transaction.Atomic):
        def __init__(self) -> None:
            super().__init__("default", False, False)

        def __enter__(self) -> None:
            _connect(as_owner=True)
            super().__enter__()
            with connection.cursor() as cursor:
                for table in _GUARDED:
                    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")

        def __exit__(self, *raised: object) -> None:
            transaction.set_rollback(True)
            super().__exit__(*raised)  # type: ignore[arg-type]
            _connect(as_owner=False)

    yield Tampering
    _connect(as_owner=False)


_GUARDED = (
    "transactions_ledgerentry",
    "transactions_transaction",
    "wallet_wallet",
    "wallet_hold",
    "transactions_checkpoint",
    "transactions_checkpointhead",
)


def _connect(*, as_owner: bool) -> None:
    connection.close()
    url = configured.DATABASE_OWNER_URL if as_owner else configured.DATABASE_URL
    wanted = database(url, as_owner=as_owner)
    connection.settings_dict.update(
        {name: wanted[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "OPTIONS")}
    )
