-- What is refused to everybody, the owner and psql included: replaces the rules of ledger.sql by those that
-- also know fees, conversions, holds, reversals and overdrafts, and check references by statement.
-- On the tables that every posting writes there are few CHECK constraints and no conditions on triggers:
-- PostgreSQL compiles those anew for each statement, 0.75 ms for one transfer, and these functions once.
-- Tables are looked up row by row, by key (LATERAL and LIMIT 1): the planner knows nothing of transition
-- tables and would rather read the whole ledger. A plan that had to be forced looks dear, and PostgreSQL would
-- spend half a second on compiling it (jit).

-- After entries were inserted: they make whole transactions that sum to zero, continue the chains of
-- their wallets, and the wallets have moved with them.
CREATE OR REPLACE FUNCTION entries_are_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    fact text;
BEGIN
    IF EXISTS (SELECT FROM new_entries
               WHERE (amount <> 0 AND is_exact_money(amount, currency)
                      AND is_exact_money(balance_after, currency) AND sequence >= 1) IS NOT TRUE) THEN
        PERFORM ledger_refuse('entry_amount_is_exact',
            'an entry has an amount, finite and with its currency''s places, and a number from 1');
    END IF;
    IF EXISTS (SELECT FROM new_entries GROUP BY transaction_id, currency HAVING sum(amount) <> 0) THEN
        PERFORM ledger_refuse('transaction_sums_to_zero',
            'the entries of a transaction sum to zero in each currency');
    END IF;
    -- Legs count from 1 within this statement, and (transaction, leg) is unique: so no entry can join a
    -- transaction that already has some.
    IF EXISTS (SELECT FROM new_entries GROUP BY transaction_id
               HAVING count(*) < 2 OR min(leg) <> 1 OR max(leg) <> count(*)) THEN
        PERFORM ledger_refuse('transaction_is_posted_whole',
            'all entries of a transaction, two or more, are inserted by one statement');
    END IF;
    SELECT broken INTO fact FROM (
        SELECT CASE
            WHEN t.status IS DISTINCT FROM 'posted'
                OR e.created_at <> t.created_at OR e.created_at < p.created_at
                OR (p.id IS NULL AND e.sequence <> 1)
                OR e.balance_after <> coalesce(p.balance_after, 0) + e.amount
                OR e.previous_hash <> coalesce(p.hash, '\x'::bytea)
                OR e.hash <> entry_hash(
                    e.previous_hash,
                    transaction_digest(
                        t.id, t.kind, t.amount, t.currency, t.fee, t.to_amount, t.to_currency,
                        t.from_wallet_id, t.to_wallet_id, t.parent_id, t.initiated_by_id,
                        t.idempotency_key, t.fingerprint, t.request_id, t.client_address,
                        t.created_at, t.description, t.metadata),
                    e.wallet_id, e.sequence, e.leg, e.amount, e.balance_after)
                THEN 'entry_continues_the_chain'
            -- A clock that was wrong and was set back must not stop money: then the latest moment of a
            -- wallet of the transaction is the transaction's.
            WHEN e.created_at > clock_timestamp() + interval '1 minute'
                AND NOT EXISTS (
                    SELECT FROM new_entries o
                    JOIN transactions_ledgerentry q
                        ON q.wallet_id = o.wallet_id AND q.sequence = o.sequence - 1
                    WHERE o.transaction_id = e.transaction_id AND q.created_at = e.created_at)
                THEN 'entry_is_not_ahead_of_time'
            WHEN w.currency IS DISTINCT FROM e.currency
                OR e.sequence > w.last_sequence
                OR (e.sequence = w.last_sequence
                    AND (e.balance_after <> w.balance OR e.hash <> w.head_hash))
                THEN 'wallet_moves_with_its_entries'
            WHEN e.balance_after < -coalesce(w.overdraft_limit, 0) AND e.amount < 0 AND w.kind = 'user'
                THEN 'available_is_never_negative'
            END AS broken
        FROM new_entries e
        LEFT JOIN LATERAL (SELECT * FROM transactions_transaction
                           WHERE id = e.transaction_id LIMIT 1) t ON true
        LEFT JOIN LATERAL (SELECT * FROM transactions_ledgerentry
                           WHERE wallet_id = e.wallet_id AND sequence = e.sequence - 1 LIMIT 1) p ON true
        LEFT JOIN LATERAL (SELECT * FROM wallet_wallet WHERE id = e.wallet_id LIMIT 1) w ON true
    ) AS judged WHERE broken IS NOT NULL LIMIT 1;
    IF fact IS NOT NULL THEN
        PERFORM ledger_refuse(fact, CASE fact
            WHEN 'entry_continues_the_chain' THEN
                'an entry belongs to a posted transaction and continues its wallet''s chain'
            WHEN 'entry_is_not_ahead_of_time' THEN
                'no entry is dated ahead of the clock, nor of its wallet''s last'
            WHEN 'wallet_moves_with_its_entries' THEN
                'an entry has its wallet''s currency and moves the wallet in the same statement'
            ELSE 'no entry takes a user''s wallet below what it may fall to, not even for a moment'
            END);
    END IF;
    RETURN NULL;
END $$;

-- After transactions were inserted: a posted one tells what its entries did. The first takes its amount
-- and fee out of its source, the second brings the amount (of a conversion: what it buys) to its target,
-- and any others are the platform's. One that posted nothing names wallets that exist; all name a caller
-- that exists, or the platform. What names a parent fits it.
CREATE OR REPLACE FUNCTION transactions_are_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    fact text;
BEGIN
    SELECT broken INTO fact FROM (
        SELECT CASE
            WHEN NOT isfinite(t.created_at) THEN 'transaction_time_is_finite'
            WHEN (t.amount > 0 AND is_exact_money(t.amount, t.currency)
                  AND t.fee >= 0 AND is_exact_money(t.fee, t.currency)
                  AND (t.to_amount IS NULL OR is_exact_money(t.to_amount, t.to_currency))) IS NOT TRUE
                THEN 'transaction_amount_is_exact'
            WHEN length(t.fingerprint) <> 32 THEN 'fingerprint_is_sha256'
            -- A caller's key has no blank; the platform derives further ones by a blank and a word. Lengths
            -- are not the expression's business: {1,255} in it takes 70 microseconds.
            WHEN t.idempotency_key !~ '^[!-~]+( [!-~]+)?$'
                OR length(split_part(t.idempotency_key, ' ', 1)) > 255
                OR length(t.idempotency_key) > 356
                THEN 'idempotency_key_is_printable'
            WHEN t.hash_scheme <> 2 THEN 'transaction_has_the_current_hash_scheme'
            WHEN t.status = 'posted'
                AND ((d.wallet_id, d.currency, d.amount, c.wallet_id, c.currency, c.amount)
                     IS DISTINCT FROM
                     (t.from_wallet_id, t.currency::text, -(t.amount + t.fee), t.to_wallet_id,
                      coalesce(nullif(t.to_currency, ''), t.currency)::text,
                      coalesce(t.to_amount, t.amount))
                     OR EXISTS (SELECT FROM transactions_ledgerentry e
                                JOIN wallet_wallet w ON w.id = e.wallet_id
                                WHERE e.transaction_id = t.id AND e.leg > 2
                                  AND (w.kind = 'user' OR e.currency NOT IN (t.currency, t.to_currency))))
                THEN 'transaction_tells_its_entries'
            WHEN t.status <> 'posted'
                AND (NOT EXISTS (SELECT FROM wallet_wallet w WHERE w.id = t.from_wallet_id)
                     OR NOT EXISTS (SELECT FROM wallet_wallet w WHERE w.id = t.to_wallet_id))
                THEN 'transaction_names_wallets_that_exist'
            WHEN t.status = 'pending' AND NOT EXISTS (SELECT FROM wallet_hold h WHERE h.id = t.id)
                THEN 'pending_transaction_has_its_hold'
            WHEN t.initiated_by_id IS NOT NULL AND u.id IS NULL
                THEN 'transaction_names_a_caller_that_exists'
            END AS broken
        FROM new_transactions t
        LEFT JOIN LATERAL (SELECT * FROM transactions_ledgerentry
                           WHERE transaction_id = t.id AND leg = 1 LIMIT 1) d ON true
        LEFT JOIN LATERAL (SELECT * FROM transactions_ledgerentry
                           WHERE transaction_id = t.id AND leg = 2 LIMIT 1) c ON true
        LEFT JOIN LATERAL (SELECT id FROM users_user WHERE id = t.initiated_by_id LIMIT 1) u ON true
    ) AS judged WHERE broken IS NOT NULL LIMIT 1;
    IF fact IS NULL AND EXISTS (SELECT FROM new_transactions WHERE parent_id IS NOT NULL) THEN
        SELECT broken INTO fact FROM (
            SELECT CASE
                WHEN p.id IS NULL THEN 'transaction_names_a_parent_that_exists'
                WHEN t.status = 'declined' THEN NULL
                WHEN t.kind IN ('reversal', 'refund') THEN CASE
                    WHEN t.status <> 'posted' OR p.status NOT IN ('posted', 'pending')
                        OR p.parent_id IS NOT NULL OR p.to_amount IS NOT NULL
                        OR (t.from_wallet_id, t.to_wallet_id, t.currency)
                            <> (p.to_wallet_id, p.from_wallet_id, p.currency)
                        OR (SELECT sum(r.amount) FROM transactions_transaction r
                            WHERE r.parent_id = p.id AND r.status = 'posted'
                              AND r.kind IN ('reversal', 'refund'))
                           > CASE p.status WHEN 'posted' THEN p.amount
                             ELSE (SELECT h.captured_amount FROM wallet_hold h WHERE h.id = p.id) END
                        THEN 'no_more_is_reversed_than_was_posted' END
                WHEN p.status <> 'pending'
                    OR (t.kind, t.from_wallet_id, t.to_wallet_id, t.currency)
                        <> (p.kind, p.from_wallet_id, p.to_wallet_id, p.currency)
                    OR NOT EXISTS (SELECT FROM wallet_hold h WHERE h.id = p.id
                                   AND (t.status = 'posted' OR h.status = t.status))
                    THEN 'what_follows_a_hold_fits_it'
                END AS broken
            FROM new_transactions t
            LEFT JOIN LATERAL (SELECT * FROM transactions_transaction
                               WHERE id = t.parent_id LIMIT 1) p ON true
            WHERE t.parent_id IS NOT NULL
        ) AS judged WHERE broken IS NOT NULL LIMIT 1;
        IF fact IS NULL AND EXISTS (
            SELECT FROM new_transactions t JOIN wallet_hold h ON h.id = t.parent_id
            WHERE t.status = 'posted' AND t.kind NOT IN ('reversal', 'refund')
              AND (h.captured_amount, h.captured_fee) <> (
                  SELECT sum(c.amount), sum(c.fee) FROM transactions_transaction c
                  WHERE c.parent_id = h.id AND c.status = 'posted'
                    AND c.kind NOT IN ('reversal', 'refund'))) THEN
            fact := 'captured_is_what_the_captures_posted';
        END IF;
    END IF;
    IF fact IS NOT NULL THEN
        PERFORM ledger_refuse(fact, CASE fact
            WHEN 'transaction_tells_its_entries' THEN
                'a posted transaction takes its amount and fee from its source, brings its amount to'
                ' its target, and touches nobody else''s wallet'
            ELSE replace(fact, '_', ' ') END);
    END IF;
    RETURN NULL;
END $$;

-- Holds ---------------------------------------------------------------------------------------------

ALTER TABLE wallet_hold
    ADD CONSTRAINT hold_amounts_are_exact CHECK (
        is_exact_money(amount, currency) AND is_exact_money(fee, currency)
        AND is_exact_money(captured_amount, currency) AND is_exact_money(captured_fee, currency)
    );

-- What the open holds of a wallet still reserve.
CREATE FUNCTION reserved_by_holds(p_wallet uuid) RETURNS numeric
LANGUAGE sql STABLE
    RETURN (SELECT coalesce(sum(h.amount - h.captured_amount + h.fee - h.captured_fee), 0)
            FROM wallet_hold h WHERE h.wallet_id = p_wallet AND h.status = 'open');

-- After a hold was opened or changed: it belongs to its pending transaction, captures only in time and only
-- what was posted, ends once, and its wallet holds what the open ones add up to.
CREATE FUNCTION hold_is_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    captured record;
BEGIN
    IF NOT EXISTS (SELECT FROM transactions_transaction t JOIN wallet_wallet w ON w.id = t.from_wallet_id
                   WHERE t.id = NEW.id AND t.status = 'pending' AND w.currency = NEW.currency
                     AND (t.from_wallet_id, t.amount, t.fee, t.currency)
                       = (NEW.wallet_id, NEW.amount, NEW.fee, NEW.currency)) THEN
        PERFORM ledger_refuse('hold_tells_its_transaction',
            'a hold has the wallet, amount, fee and currency of a pending transaction');
    END IF;
    IF TG_OP = 'INSERT' AND (NEW.status <> 'open' OR NEW.captured_amount <> 0 OR NEW.captured_fee <> 0) THEN
        PERFORM ledger_refuse('hold_begins_open', 'a new hold is open and nothing of it is captured');
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.wallet_id, NEW.amount, NEW.fee, NEW.currency, NEW.expires_at, NEW.created_at)
            <> (OLD.id, OLD.wallet_id, OLD.amount, OLD.fee, OLD.currency, OLD.expires_at, OLD.created_at)
            OR OLD.status <> 'open' THEN
            PERFORM ledger_refuse('hold_ends_once', 'a hold that ended, and what a hold is, never change');
        END IF;
        IF NEW.captured_amount < OLD.captured_amount
            OR (NEW.captured_amount > OLD.captured_amount AND NEW.expires_at <= now())
            OR (NEW.status = 'expired' AND NEW.expires_at > clock_timestamp()) THEN
            PERFORM ledger_refuse('hold_is_captured_in_time',
                'a hold is captured before its expiry, and expires after it');
        END IF;
    END IF;
    SELECT coalesce(sum(c.amount), 0) AS amount, coalesce(sum(c.fee), 0) AS fee INTO captured
    FROM transactions_transaction c
    WHERE c.parent_id = NEW.id AND c.status = 'posted' AND c.kind NOT IN ('reversal', 'refund');
    IF (NEW.captured_amount, NEW.captured_fee) <> (captured.amount, captured.fee) THEN
        PERFORM ledger_refuse('captured_is_what_the_captures_posted',
            'what a hold captured is what its captures posted');
    END IF;
    IF NEW.status IN ('voided', 'expired') AND NOT EXISTS (
        SELECT FROM transactions_transaction c WHERE c.parent_id = NEW.id AND c.status = NEW.status) THEN
        PERFORM ledger_refuse('hold_ends_by_a_transaction', 'who ended a hold is on record');
    END IF;
    IF (SELECT w.held FROM wallet_wallet w WHERE w.id = NEW.wallet_id) <> reserved_by_holds(NEW.wallet_id) THEN
        PERFORM ledger_refuse('held_follows_the_holds',
            'what is held is what the open holds add up to; it is never assigned');
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION holds_are_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: holds end, they are never removed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'holds_are_kept';
END $$;

CREATE TRIGGER holds_are_kept BEFORE DELETE OR TRUNCATE ON wallet_hold
    FOR EACH STATEMENT EXECUTE FUNCTION holds_are_kept();
CREATE TRIGGER hold_is_kept AFTER INSERT OR UPDATE ON wallet_hold
    FOR EACH ROW EXECUTE FUNCTION hold_is_kept();

-- Wallets -------------------------------------------------------------------------------------------

-- After wallets were inserted: they are empty, and count their limits at a wallet of the same owner and
-- currency that counts its own.
CREATE OR REPLACE FUNCTION wallets_start_empty() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM new_wallets WHERE currency !~ '^[A-Z]{3}$') THEN
        PERFORM ledger_refuse('wallet_currency_is_a_code', 'a currency is three upper-case letters');
    END IF;
    IF EXISTS (SELECT FROM new_wallets
               WHERE balance <> 0 OR held <> 0 OR last_sequence <> 0 OR head_hash <> '\x'::bytea
                  OR spent_in_day <> 0 OR spent_in_month <> 0 OR overdraft_limit IS NOT NULL) THEN
        PERFORM ledger_refuse('wallet_starts_empty', 'a new wallet is empty');
    END IF;
    IF EXISTS (SELECT FROM new_wallets w LEFT JOIN wallet_wallet l ON l.id = w.limits_wallet_id
               WHERE w.limits_wallet_id IS NOT NULL
                 AND ((l.owner_id, l.currency) IS DISTINCT FROM (w.owner_id, w.currency)
                      OR l.limits_wallet_id IS NOT NULL)) THEN
        PERFORM ledger_refuse('limits_are_counted_at_the_first_wallet',
            'a further wallet counts its limits at its owner''s first in that currency');
    END IF;
    RETURN NULL;
END $$;

-- After wallets were updated: they are the same wallets, each stands at the entry its sequence names, holds
-- what its open holds reserve, and has spent what can be.
CREATE OR REPLACE FUNCTION wallets_follow_the_ledger() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
-- The two transition tables are joined by hash, a thousand wallets and not a million pairs, whatever
-- post_ledger() has set, in which this runs.
SET enable_seqscan = off SET enable_nestloop = off SET enable_hashjoin = on
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    fact text;
BEGIN
    SELECT broken INTO fact FROM (
        SELECT CASE
            WHEN (w.id, w.user_id, w.owner_id, w.limits_wallet_id, w.kind, w.purpose, w.currency,
                  w.created_at)
                 IS DISTINCT FROM
                 (o.id, o.user_id, o.owner_id, o.limits_wallet_id, o.kind, o.purpose, o.currency,
                  o.created_at)
                THEN 'wallet_identity_is_fixed'
            WHEN w.last_sequence < o.last_sequence THEN 'sequence_never_goes_back'
            WHEN (abs(w.balance) < 1e15 AND scale(w.balance) <= currency_places(w.currency)
                  AND w.held < 1e15 AND scale(w.held) <= currency_places(w.currency)
                  AND coalesce(w.overdraft_limit < 1e15
                               AND scale(w.overdraft_limit) <= currency_places(w.currency), true))
                 IS NOT TRUE
                THEN 'wallet_amounts_are_exact'
            WHEN (w.balance, w.head_hash)
                 IS DISTINCT FROM (coalesce(e.balance_after, 0), coalesce(e.hash, '\x'::bytea))
                OR (e.id IS NULL AND w.last_sequence <> 0)
                THEN 'balance_follows_the_entries'
            WHEN w.held <> o.held AND w.held <> reserved_by_holds(w.id) THEN 'held_follows_the_holds'
            WHEN (0 <= w.spent_in_day AND w.spent_in_day <= w.spent_in_month AND w.spent_in_month < 1e15
                  AND scale(w.spent_in_day) <= currency_places(w.currency)
                  AND scale(w.spent_in_month) <= currency_places(w.currency)) IS NOT TRUE
                THEN 'spending_adds_up'
            WHEN w.spent_on < o.spent_on
                OR (w.spent_on > o.spent_on
                    AND w.spent_on > (clock_timestamp() AT TIME ZONE 'UTC')::date + 1)
                THEN 'spending_window_follows_the_clock'
            END AS broken
        FROM new_wallets w
        LEFT JOIN old_wallets o ON o.id = w.id
        LEFT JOIN LATERAL (SELECT * FROM transactions_ledgerentry
                           WHERE wallet_id = w.id AND sequence = w.last_sequence LIMIT 1) e ON true
    ) AS judged WHERE broken IS NOT NULL LIMIT 1;
    IF fact IS NOT NULL THEN
        PERFORM ledger_refuse(fact, CASE fact
            WHEN 'wallet_identity_is_fixed' THEN
                'the id, owner, kind, purpose and currency of a wallet never change'
            WHEN 'balance_follows_the_entries' THEN
                'a balance is what the entries add up to; it is never assigned'
            WHEN 'held_follows_the_holds' THEN
                'what is held is what the open holds add up to; it is never assigned'
            WHEN 'spending_window_follows_the_clock' THEN
                'a spending window never goes back, nor ahead of the clock'
            ELSE replace(fact, '_', ' ') END);
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER wallet_identity_is_fixed ON wallet_wallet;
DROP TRIGGER sequence_never_goes_back ON wallet_wallet;
DROP TRIGGER held_follows_the_holds ON wallet_wallet;
DROP TRIGGER spending_window_follows_the_clock ON wallet_wallet;
DROP FUNCTION refuse_change();
DROP TRIGGER wallets_follow_the_ledger ON wallet_wallet;
CREATE TRIGGER wallets_follow_the_ledger AFTER UPDATE ON wallet_wallet
    REFERENCING OLD TABLE AS old_wallets NEW TABLE AS new_wallets
    FOR EACH STATEMENT EXECUTE FUNCTION wallets_follow_the_ledger();

-- Also under session_replication_role = replica.
ALTER TABLE wallet_hold ENABLE ALWAYS TRIGGER holds_are_kept;
ALTER TABLE wallet_hold ENABLE ALWAYS TRIGGER hold_is_kept;
ALTER TABLE wallet_wallet ENABLE ALWAYS TRIGGER wallets_follow_the_ledger;

-- The functions above check these, and more.
ALTER TABLE transactions_ledgerentry
    DROP CONSTRAINT entry_amount_is_exact, DROP CONSTRAINT entry_numbers_start_at_one;
ALTER TABLE transactions_transaction
    DROP CONSTRAINT transaction_amount_is_exact, DROP CONSTRAINT idempotency_key_is_printable,
    DROP CONSTRAINT fingerprint_is_sha256, DROP CONSTRAINT transaction_time_is_finite;
ALTER TABLE wallet_wallet
    DROP CONSTRAINT wallet_currency_is_a_code, DROP CONSTRAINT wallet_amounts_are_exact,
    DROP CONSTRAINT spending_adds_up;
