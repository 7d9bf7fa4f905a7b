"""What an applied migration loads never changes: a database that has it would not notice."""

import hashlib
from pathlib import Path

import pytest
from django.conf import settings

# Every SQL file that a migration loads, and its SHA-256. A new one is added with its migration; an old
# one is never edited: a new migration replaces what it made.
LOADED = {
    "benchmarks/sql/l0.sql": ("892a3d24fa71c61cbd015198cf2eec632a3abcf1fdc15592f5ead9e09add8d0f"),
    "events/sql/audit_trail.sql": (
        "acb4f3500a580bf9f012d20fe0b39954f63ce27134ad160752fafdca78fa60f0"
    ),
    "events/sql/outbox.sql": "035555c908875745f8d287c0250d3bf6cbd87527f9b3a423580d84db79adc3ae",
    "payments/sql/due_feeds.sql": (
        "ca007f4331c05ced1ce3e5bc3fbc0950fd46583d9ccb5e6b86d91c67811408c1"
    ),
    "payments/sql/movements.sql": (
        "0b48a7c45c93af982086573034d8b5b7e13ec3c27a5035fe61ecf7da906cc04f"
    ),
    "payments/sql/payment_violations.sql": (
        "4a912fc7cde95ffe7604d8a10026879943036f2b0bed75461a19e9fc5853f46a"
    ),
    "transactions/sql/announced.sql": "396d58984f843ce73ac2f3b1ef69708e673d41dd4942784291ee142529a02acb",
    "payments/sql/reconciliation.sql": (
        "80c2c90093ae572df2a78721c9fc553e57c93f33f77ba26f1875c12f219c3b84"
    ),
    "transactions/sql/claimed_keys.sql": (
        "2121dc92d8835677264982e827df273a3ab4d436989010855d6707c4a4a220c0"
    ),
    "transactions/sql/rows.sql": "23d596f8dc9b050e830105b2e662b86bd25223672dbe57e992561756556fe3d3",
    "transactions/sql/binary_rows.sql": (
        "a3b09fb39c29eaa39fa7dbbf869cdc7181bf802dbc1f14a6787b30a382096527"
    ),
    "transactions/sql/exchange.sql": (
        "ea11f0da686e3ef2c0fd1f31682be91a92927bac77a496dcf871e0bb0f0c2da4"
    ),
    "transactions/sql/history.sql": (
        "c24ed04f8f3d800d57e204155b7de5ddb8fdc826f2fb23c76fe742061aac9f49"
    ),
    "transactions/sql/ledger.sql": (
        "4106a933f7944b964087f2817664aa9f6b1eee17b8f61f5211a39ebc65ff2524"
    ),
    "transactions/sql/ledger_rules.sql": (
        "fc2b55ca2b77b8ba09f94b5154d6f4bd93c5fb7d8683169a74e322bf90701e2b"
    ),
    "transactions/sql/ledger_violations.sql": (
        "6060a89123e34207662f545349b60b21dd6ba6f4ce2dfa80cbb05aca5d3bfebd"
    ),
    "transactions/sql/open_accounts.sql": (
        "23d3008972d057af630275d4c5b25634fae62c1261780e6680e2834f8888d3cf"
    ),
    "transactions/sql/posting.sql": (
        "a93e7c941369b4ba5e76b8876b821dd5047a8399ab1ec38e10248e8ce00b4b0c"
    ),
    "transactions/sql/transfer_reads.sql": (
        "8435f168a6f9e2872f2feaaf783c7c860e2d33ba101f38acf61a0ccbab3a8fdb"
    ),
    "transactions/sql/verification.sql": (
        "6fa5de26f33ba49707ec21262d0fd2d90a8ae01f25652af9d872654c14f0f1c9"
    ),
    "transactions/sql/violations.sql": (
        "fc786c1cfdce7dc921c05689bda82141ea44bcae1c4bd386806c5bf379ebc978"
    ),
    "users/sql/live_sessions.sql": (
        "d825863f2415fb184a3e350912e711a5668ab0150294a7363dc084d9aefabcbb"
    ),
    "users/sql/live_user.sql": ("1192891a09c8b8fe56c82a9720329ae8de7e45b44aa9aa26ba973ca75bf42d39"),
    "webhooks/sql/due_feeds.sql": (
        "f735aae1cbbb82bd1e54e3ddf6c6d201472c797c781d83893631baffef1dd88e"
    ),
    "webhooks/sql/hand_out.sql": (
        "c22c941152f9fb37c004c292de776f51e54b41f4e107b2fcdbabdbd46c653104"
    ),
}


@pytest.mark.parametrize("name", LOADED)
def test_no_loaded_sql_file_was_edited(name: str) -> None:
    content = (Path(settings.BASE_DIR) / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == LOADED[name], "write a new migration instead"


def test_every_sql_file_that_a_migration_loads_is_known() -> None:
    """What is not loaded by one is read by the code itself, each time."""
    read_by_code = {"fintech_core/sql/grant_role.sql", "users/sql/count_attempt.sql"}
    files = Path(settings.BASE_DIR).glob("*/sql/*.sql")
    names = {str(path.relative_to(settings.BASE_DIR)) for path in files}
    assert {n for n in names if not n.endswith(".down.sql")} == set(LOADED) | read_by_code
