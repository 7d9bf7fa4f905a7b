"""What an applied migration loads never changes: a database that has it would not notice."""

import hashlib
from pathlib import Path

import pytest
from django.conf import settings

# Every SQL file that a migration loads, and its SHA-256. A new one is added with its migration; an old
# one is never edited: a new migration replaces what it made.
LOADED = {
    "events/sql/audit_trail.sql": (
        "acb4f3500a580bf9f012d20fe0b39954f63ce27134ad160752fafdca78fa60f0"
    ),
    "transactions/sql/ledger.sql": (
        "4106a933f7944b964087f2817664aa9f6b1eee17b8f61f5211a39ebc65ff2524"
    ),
    "transactions/sql/ledger_violations.sql": (
        "6060a89123e34207662f545349b60b21dd6ba6f4ce2dfa80cbb05aca5d3bfebd"
    ),
    "transactions/sql/transfer_reads.sql": (
        "8435f168a6f9e2872f2feaaf783c7c860e2d33ba101f38acf61a0ccbab3a8fdb"
    ),
    "users/sql/live_user.sql": ("1192891a09c8b8fe56c82a9720329ae8de7e45b44aa9aa26ba973ca75bf42d39"),
}


@pytest.mark.parametrize("name", LOADED)
def test_no_loaded_sql_file_was_edited(name: str) -> None:
    content = (Path(settings.BASE_DIR) / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == LOADED[name], "write a new migration instead"


def test_every_sql_file_that_a_migration_loads_is_known() -> None:
    downs = Path(settings.BASE_DIR).glob("*/sql/*.down.sql")
    loaded = {
        str(path.relative_to(settings.BASE_DIR)).replace(".down.sql", ".sql") for path in downs
    }
    assert loaded == set(LOADED)
