"""The mutants: what each breaks, where, and which tests must fail on it.

Numbers and wording follow the faults that wallets and ledgers were seen to have. An edit is (file, text
that stands there exactly once, text instead).
"""

from dataclasses import dataclass

Edit = tuple[str, str, str]

_OPEN = "transactions/sql/rows.sql"
_LOCK = "          ORDER BY w.id FOR NO KEY UPDATE) AS l;\n"
_NO_LOCK = "          ORDER BY w.id) AS l;\n"
_BEFORE_LOCK = "    SELECT coalesce(array_agg(l.id), '{}'), array_agg(l.id)"
_AFTER_READ = "    IF p_users <> '{}' THEN\n"
_KEY_LOOKUP = """
    SELECT json_agg(t.id) INTO found_keys
    FROM unnest(p_callers, p_keys) AS k (caller, key)
    JOIN transactions_transaction t ON t.initiated_by_id = k.caller AND t.idempotency_key = k.key;
"""
_STANDING = """
    standing := ARRAY(SELECT u FROM users_user u
                      WHERE u.id = ANY (p_primaries) OR u.email = ANY (p_emails));
"""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault; ``checks`` are pytest node ids of which at least one must fail."""

    name: str
    edits: tuple[Edit, ...]
    checks: tuple[str, ...]


def _lock_only(which: str) -> tuple[Edit, ...]:
    """Lock some of the wallets and read all of them."""
    return ((_OPEN, _LOCK, f"          AND {which}\n{_LOCK}"),)


_RACES = "tests/races/test_transfers.py"
_INTAKE = "payments/tests/test_intake.py"
_SPEND = f"{_RACES}::test_of_12_spends_to_as_many_payees_exactly_4_succeed"
_RECEIVE = f"{_RACES}::test_many_payers_of_one_payee_all_succeed"

_WEBHOOKS = "tests/faults/test_webhooks_out.py"

MUTANTS = (
    Mutant(
        "m1 no lock on the sender",
        _lock_only("w.user_id <> ALL (p_callers)"),
        (_SPEND,),
    ),
    Mutant(
        "m2 no lock on the recipient",
        _lock_only("w.user_id = ANY (p_callers)"),
        (_RECEIVE,),
    ),
    Mutant(
        "m3 balance read before the lock",
        (
            (_OPEN, _LOCK, _NO_LOCK),
            (
                _OPEN,
                _AFTER_READ,
                (
                    "    PERFORM FROM wallet_wallet w WHERE w.id = ANY (locked)"
                    f" ORDER BY w.id FOR NO KEY UPDATE;\n{_AFTER_READ}"
                ),
            ),
        ),
        (_SPEND,),
    ),
    Mutant(
        "m4 no lock, but REPEATABLE READ",
        (
            (_OPEN, _LOCK, _NO_LOCK),
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
        "m5 key looked up, then inserted",
        (
            (_OPEN, _BEFORE_LOCK, _KEY_LOOKUP + _BEFORE_LOCK),
            (_OPEN, "    IF p_keys <> '{}' THEN", "    IF false THEN"),
            (
                "transactions/sql/posting.sql",
                "REVOKE ALL ON FUNCTION post_ledger",
                (
                    "ALTER TABLE transactions_transaction"
                    " DROP CONSTRAINT idempotency_key_is_unique_per_caller;\n"
                    "REVOKE ALL ON FUNCTION post_ledger"
                ),
            ),
        ),
        (f"{_RACES}::test_one_key_posted_many_times_at_once_has_one_effect",),
    ),
    Mutant(
        "m6 key taken before the transfer, on its own",
        (
            (
                "transactions/services/__init__.py",
                "    result = posting_group.post(instruction)\n",
                (
                    "    from django.core.cache import cache\n"
                    "    from fintech_core.exceptions import RequestInProgress\n"
                    '    mark = f"{instruction.caller_id} {instruction.idempotency_key}"\n'
                    "    if not cache.add(mark, 1, 3600):\n"
                    "        raise RequestInProgress\n"
                    "    result = posting_group.post(instruction)\n"
                    "    cache.delete(mark)\n"
                ),
            ),
        ),
        ("tests/faults/test_transfer_crashes.py",),
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
        "m8 key not scoped by its caller",
        (
            (
                _OPEN,
                "WHERE initiated_by_id = k.caller AND idempotency_key",
                "WHERE idempotency_key",
            ),
            (
                "transactions/selectors/history.py",
                "{(record.initiated_by_id, record.idempotency_key)",
                "{(None, record.idempotency_key)",
            ),
            (
                "transactions/services/transfers.py",
                "        key = (instruction.caller_id, instruction.idempotency_key)",
                "        key = (None, instruction.idempotency_key)",
            ),
        ),
        ("transactions/tests/test_transfer.py::test_two_users_may_use_one_key",),
    ),
    Mutant(
        "m9 holds not counted in what is available",
        (
            (
                "transactions/accounts.py",
                "return self.balance - self.held + self.overdraft_limit",
                "return self.balance + self.overdraft_limit",
            ),
        ),
        ("transactions/tests/test_holds.py",),
    ),
    Mutant(
        "m10 locks not in order",
        ((_OPEN, "ORDER BY w.id FOR NO KEY UPDATE", "ORDER BY random() FOR NO KEY UPDATE"),),
        ("transactions/tests/test_transfer.py", _RACES),
    ),
    Mutant(
        "m11 a reversal does not look at those before it",
        (
            (
                "transactions/services/reversals.py",
                "        left = posted - reversed_amounts([row.pk]).get(row.pk, Decimal(0))",
                "        left = posted",
            ),
        ),
        ("transactions/tests/test_reversals.py",),
    ),
    Mutant(
        "m12 webhooks told apart by the cache only",
        (
            (
                "payments/migrations/0002_inbox.py",
                (
                    "models.UniqueConstraint(fields=('provider', 'event_id'), "
                    "name='provider_event_is_stored_once'), "
                ),
                "",
            ),
            (
                "payments/services/events.py",
                (
                    "    with transaction.atomic(durable=True):\n"
                    "        ProviderEvent.objects.bulk_create([event], ignore_conflicts=True)\n"
                ),
                (
                    "    from django.core.cache import cache\n"
                    '    if not cache.add(f"seen {provider} {told.event_id}", 1):\n'
                    "        return False\n"
                    "    with transaction.atomic(durable=True):\n"
                    "        ProviderEvent.objects.bulk_create([event], ignore_conflicts=True)\n"
                ),
            ),
            (
                "payments/services/events.py",
                """        stored = ProviderEvent.objects.values_list("pk", "digest").get(
            provider=provider, event_id=told.event_id
        )
""",
                "    stored = event.pk, event.digest\n",
            ),
        ),
        (f"{_INTAKE}::test_the_cache_emptied_between_two_deliveries_changes_nothing",),
    ),
    Mutant(
        "m13 a float in one place",
        (
            (
                "transactions/accounts.py",
                "        self.balance += amount\n",
                "        self.balance = Decimal(float(self.balance) + float(amount))\n",
            ),
        ),
        ("transactions/tests/test_transfer.py",),
    ),
    Mutant(
        "m14 standing read before the lock",
        (
            (_OPEN, _BEFORE_LOCK, _STANDING + _BEFORE_LOCK),
            (
                _OPEN,
                "    reserving uuid[];\n",
                "    reserving uuid[];\n    standing users_user[];\n",
            ),
            (_OPEN, "w LEFT JOIN users_user u ON", "w LEFT JOIN unnest(standing) AS u ON"),
        ),
        (
            f"{_RACES}::test_after_a_deactivation_has_committed_nothing_moves",
            f"{_RACES}::test_after_a_freeze_has_committed_nothing_moves",
        ),
    ),
    Mutant(
        "m15 announced after the commit, to the broker",
        (
            (
                "events/services.py",
                "    OutboxEvent.objects.create(\n        type=event_type,",
                (
                    "    def hand_on(**event: Any) -> None:\n"
                    "        with Connection(settings.BROKER_URL, connect_timeout=1) as broker:\n"
                    "            broker.ensure_connection(max_retries=0, timeout=1)\n"
                    "            OutboxEvent.objects.create(**event)\n\n"
                    "    _on_commit(\n        hand_on,\n        type=event_type,"
                ),
            ),
            (
                "events/services.py",
                "def take_announcements(",
                (
                    "def _on_commit(act: Any, **event: Any) -> None:\n"
                    "    transaction.on_commit(lambda: act(**event), robust=True)\n\n\n"
                    "def take_announcements("
                ),
            ),
            (
                "events/services.py",
                "from django.db import transaction\n",
                (
                    "from django.conf import settings\n"
                    "from django.db import transaction\n"
                    "from kombu import Connection\n"
                ),
            ),
        ),
        (f"{_WEBHOOKS}::test_what_is_announced_while_the_broker_is_down_is_told_once_it_is_back",),
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
    Mutant(
        "m17 a delivery claimed without a look at who has it",
        (("webhooks/services/attempts.py", "        claim__isnull=True,\n", ""),),
        ("tests/races/test_webhooks.py",),
    ),
    Mutant(
        "m18 deliveries handed out without a lock",
        (("webhooks/sql/hand_out.sql", "        FOR NO KEY UPDATE SKIP LOCKED\n", ""),),
        ("tests/races/test_webhooks.py",),
    ),
    Mutant(
        "m19 an address looked up again after it was judged",
        (("webhooks/outgoing.py", "str(address), port, share,", "host, port, share,"),),
        ("webhooks/tests/test_addresses.py",),
    ),
    Mutant(
        "m20 an intent read without its lock",
        (
            (
                "payments/locks.py",
                "PaymentIntent.objects.select_for_update(no_key=True)",
                "PaymentIntent.objects",
            ),
        ),
        ("payments/tests/test_races.py",),
    ),
    Mutant(
        "m21 a key that serves two kinds of request",
        (
            (
                "payments/services/intents.py",
                "    ledger.claim_key_within(draft.user_id, request.idempotency_key)\n",
                "",
            ),
        ),
        ("payments/tests/test_keys.py", "payments/tests/test_races.py"),
    ),
    Mutant(
        "m22 an event believed in whatever it says",
        (("payments/services/steps.py", "if fetched and told in", "if told in"),),
        ("payments/tests/test_intents.py", "payments/tests/test_payouts.py"),
    ),
    Mutant(
        "m23 whatever amount a provider names",
        (("payments/services/applying.py", "if amount != subject.money:", "if amount is None:"),),
        ("payments/tests/test_intents.py",),
    ),
    Mutant(
        "m24 a payout sent before it counts as sent",
        (
            (
                "payments/services/payouts.py",
                "            take_step(payout, PayoutStatus.IN_TRANSIT)\n            payout.save()\n",
                "",
            ),
        ),
        ("payments/tests/test_races.py", "payments/tests/test_payouts.py"),
    ),
)
