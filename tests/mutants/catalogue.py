"""The mutants: what each breaks, where, and which tests must fail on it.

Numbers and wording follow the faults that wallets and ledgers were seen to have. An edit is (file, text
that stands there exactly once, text instead).
"""

from dataclasses import dataclass

Edit = tuple[str, str, str]

_OPEN = "transactions/sql/open_accounts.sql"
_ROWS = "FROM (SELECT * FROM wallet_wallet l WHERE l.id = ANY (wanted) ORDER BY l.id"
_LOCK = f"{_ROWS} FOR NO KEY UPDATE) AS w;"
_READ = f"{_ROWS}) AS w;"
_BEFORE_LOCK = "    SELECT json_agg(json_build_array(\n        w.id, w.owner_id"
_AFTER_LOCK = "    IF p_asked -> 'users' IS NOT NULL THEN"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault; ``checks`` are pytest node ids of which at least one must fail."""

    name: str
    edits: tuple[Edit, ...]
    checks: tuple[str, ...]


def _lock_only(which: str) -> tuple[Edit, ...]:
    """Lock some of the wallets and read all of them."""
    lock = (
        "    PERFORM 1 FROM wallet_wallet l WHERE l.id = ANY (wanted) AND "
        f"{which} ORDER BY l.id FOR NO KEY UPDATE;\n"
    )
    return ((_OPEN, _LOCK, _READ), (_OPEN, _BEFORE_LOCK, lock + _BEFORE_LOCK))


_RACES = "tests/races/test_transfers.py"
_SPEND = f"{_RACES}::test_of_12_spends_to_as_many_payees_exactly_4_succeed"
_RECEIVE = f"{_RACES}::test_many_payers_of_one_payee_all_succeed"

MUTANTS = (
    Mutant(
        "m1 no lock on the sender",
        _lock_only(
            "l.user_id <> ALL (ARRAY(SELECT json_array_elements_text(p_asked -> 'users')::uuid))"
        ),
        (_SPEND,),
    ),
    Mutant(
        "m2 no lock on the recipient",
        _lock_only(
            "l.user_id = ANY (ARRAY(SELECT json_array_elements_text(p_asked -> 'users')::uuid))"
        ),
        (_RECEIVE,),
    ),
    Mutant(
        "m3 balance read before the lock",
        (
            (_OPEN, _LOCK, _READ),
            (
                _OPEN,
                _AFTER_LOCK,
                f"    PERFORM 1 {_ROWS} FOR NO KEY UPDATE) AS w;\n{_AFTER_LOCK}",
            ),
        ),
        (_SPEND,),
    ),
    Mutant(
        "m4 no lock, but REPEATABLE READ",
        (
            (_OPEN, _LOCK, _READ),
            (
                "fintech_core/database.py",
                "                result = work()\n",
                (
                    "                with connection.cursor() as cursor:\n"
                    "                    cursor.execute('SET TRANSACTION ISOLATION LEVEL "
                    "REPEATABLE READ')\n"
                    "                result = work()\n"
                ),
            ),
        ),
        (_RECEIVE,),
    ),
    Mutant(
        "m7 fingerprint not compared",
        (
            (
                "transactions/services/recording.py",
                "    if record.fingerprint != fingerprint:\n        raise IdempotencyKeyReused\n",
                "",
            ),
        ),
        ("tests/contract/test_transfer_over_http.py",),
    ),
    Mutant(
        "m10 locks not in order",
        ((_OPEN, "ORDER BY l.id FOR NO KEY UPDATE", "ORDER BY random() FOR NO KEY UPDATE"),),
        ("transactions/tests/test_transfer.py", _RACES),
    ),
    Mutant(
        "m13 a float in one place",
        (
            (
                "transactions/accounts.py",
                "        balance=Decimal(row[8]),",
                "        balance=Decimal(float(row[8])),",
            ),
        ),
        ("transactions/tests/test_transfer.py",),
    ),
    Mutant(
        "m16 a trigger is missing",
        (
            (
                "transactions/sql/ledger.sql",
                (
                    "CREATE TRIGGER entries_are_whole AFTER INSERT ON transactions_ledgerentry\n"
                    "    REFERENCING NEW TABLE AS new_entries\n"
                    "    FOR EACH STATEMENT EXECUTE FUNCTION entries_are_whole();\n"
                ),
                "",
            ),
            (
                "transactions/sql/ledger.sql",
                "ALTER TABLE transactions_ledgerentry ENABLE ALWAYS TRIGGER entries_are_whole;\n",
                "",
            ),
        ),
        ("transactions/tests/test_refusals.py",),
    ),
)
