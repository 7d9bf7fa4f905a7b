-- Values travel as rows: arrays of row types in, columns out. JSON, which is written and parsed again on both
-- sides, was a fifth of a transfer's cost here and a quarter of it in Python. And the conditions of rows that
-- PostgreSQL compiled anew for each statement are checked by the triggers, whose plans are made once, under the
-- names they had (decision 11).

-- A transaction as it is handed over; what it has not is null.
CREATE TYPE posted_transaction AS (
    id uuid, kind text, status text, amount numeric, currency text, fee numeric, to_amount numeric,
    to_currency text, from_wallet_id uuid, to_wallet_id uuid, parent_id uuid, initiated_by_id uuid,
    idempotency_key text, fingerprint bytea, description text, metadata jsonb, decline_code text, facts jsonb,
    request_id text, client_address inet, created_at timestamptz
);

-- Find, lock and read all that a batch decides by, in one round trip. VOLATILE, so that each statement in it
-- sees what was committed until then: what is read after the locks were got is what their last holders left.
--   p_wallets, p_primaries, p_emails, p_phones
--                  whose wallets: named, or the primary ones of users named by id, address, verified number
--   p_users        users to be read beside the owners of these
--   p_holds        holds to be read beside those of the wallets that ran out
--   p_callers, p_keys, p_platform_keys
--                  idempotency keys, whose transactions and claims (ClaimedKey) are told
--   p_patience     how many milliseconds to wait for a lock, where that is not the connection's own
-- Locked are these wallets and those where their owners' limits are counted, in the order of their ids, as
-- everywhere (wallet/locks.py). Who claims a key has all wallets of its caller locked, whoever moves money by it
-- one of them: so what is read after the locks is the truth.
-- Each wallet is a row, with its owner; after them comes one with the rest, as JSON.
DROP FUNCTION open_accounts(json);
CREATE FUNCTION open_accounts(
    p_wallets uuid[], p_primaries uuid[], p_emails text[], p_phones text[], p_users uuid[], p_holds uuid[],
    p_callers uuid[], p_keys text[], p_platform_keys text[], p_patience integer
) RETURNS TABLE (
    id uuid, owner_id uuid, is_primary boolean, counted_at uuid, kind text, currency text, status text,
    balance numeric, held numeric, overdraft_limit numeric, last_sequence bigint, head_hash bytea,
    last_entry_at timestamptz, open_holds integer, spent_on date, spent_in_day numeric, spent_in_month numeric, in_pots numeric,
    is_active boolean, tier integer, verified_phone text, email text, rest text
)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
    locked uuid[];
    reserving uuid[];
    found_users json;
    found_keys json;
    found_claims json;
    found_holds json;
    read_at timestamptz;
BEGIN
    IF p_patience IS NOT NULL THEN
        PERFORM set_config('lock_timeout', p_patience::text, true);
    END IF;
    SELECT coalesce(array_agg(l.id), '{}'), array_agg(l.id) FILTER (WHERE l.held <> 0)
    INTO locked, reserving
    FROM (SELECT w.id, w.held FROM wallet_wallet w
          WHERE w.id = ANY (
              p_wallets
              || ARRAY(SELECT n.limits_wallet_id FROM wallet_wallet n WHERE n.id = ANY (p_wallets))
              || ARRAY(SELECT unnest(ARRAY[n.id, n.limits_wallet_id]) FROM wallet_wallet n
                       WHERE n.user_id = ANY (
                           p_primaries
                           || ARRAY(SELECT u.id FROM users_user u WHERE u.email = ANY (p_emails))
                           || ARRAY(SELECT u.id FROM users_user u
                                    WHERE u.phone = ANY (p_phones) AND u.phone_verified_at IS NOT NULL))))
          ORDER BY w.id FOR NO KEY UPDATE) AS l;

    read_at := clock_timestamp();
    RETURN QUERY
    SELECT w.id, w.owner_id, w.user_id IS NOT NULL, w.limits_wallet_id, w.kind::text, w.currency::text,
           w.status::text, w.balance, w.held, coalesce(w.overdraft_limit, 0), w.last_sequence, w.head_hash,
           w.last_entry_at,
           CASE WHEN w.held <> 0 THEN (SELECT count(*) FROM wallet_hold h
                                       WHERE h.wallet_id = w.id AND h.status = 'open')::integer ELSE 0 END,
           w.spent_on, w.spent_in_day, w.spent_in_month,
           (SELECT sum(p.balance) FROM wallet_wallet p WHERE p.limits_wallet_id = w.id),
           u.is_active, CASE WHEN u.kyc_expires_at <= read_at THEN 0 ELSE u.kyc_tier END::integer,
           CASE WHEN u.phone_verified_at IS NOT NULL THEN u.phone::text END, u.email::text, NULL
    FROM wallet_wallet w LEFT JOIN users_user u ON u.id = w.owner_id
    WHERE w.id = ANY (locked);

    IF p_users <> '{}' THEN
        SELECT json_agg(json_build_array(
            u.id, u.is_active, CASE WHEN u.kyc_expires_at <= read_at THEN 0 ELSE u.kyc_tier END,
            CASE WHEN u.phone_verified_at IS NOT NULL THEN u.phone END, u.email))
        INTO found_users
        FROM users_user u
        WHERE u.id = ANY (p_users);
    END IF;
    IF p_keys <> '{}' THEN
        SELECT json_agg(t.id) FILTER (WHERE t.id IS NOT NULL),
               json_agg(json_build_array(k.caller, k.key)) FILTER (WHERE c.is_claimed)
        INTO found_keys, found_claims
        FROM unnest(p_callers, p_keys) AS k (caller, key)
        LEFT JOIN LATERAL (SELECT id FROM transactions_transaction
                           WHERE initiated_by_id = k.caller AND idempotency_key = k.key LIMIT 1) t ON true
        LEFT JOIN LATERAL (SELECT true AS is_claimed FROM transactions_claimedkey
                           WHERE caller_id = k.caller AND idempotency_key = k.key LIMIT 1) c ON true;
    END IF;
    IF p_platform_keys <> '{}' THEN
        SELECT json_agg(t.id) INTO found_keys
        FROM unnest(p_platform_keys) AS k (key)
        JOIN LATERAL (SELECT id FROM transactions_transaction
                      WHERE initiated_by_id IS NULL AND idempotency_key = k.key LIMIT 1) t ON true;
    END IF;
    IF reserving IS NOT NULL OR p_holds <> '{}' THEN
        SELECT json_agg(json_build_array(
            h.id, h.wallet_id, t.to_wallet_id, o.owner_id, t.kind, h.status, h.amount::text, h.fee::text,
            h.currency, h.captured_amount::text, h.captured_fee::text, h.expires_at, h.created_at, h.closed_at))
        INTO found_holds
        FROM wallet_hold h
        JOIN transactions_transaction t ON t.id = h.id
        JOIN wallet_wallet o ON o.id = t.to_wallet_id
        WHERE h.id = ANY (p_holds || ARRAY(
            SELECT e.id FROM unnest(reserving) AS w (id)
            JOIN LATERAL (SELECT l.id FROM wallet_hold l
                          WHERE l.wallet_id = w.id AND l.status = 'open' AND l.expires_at <= read_at
                          ORDER BY l.wallet_id, l.expires_at) e ON true));
    END IF;

    rest := json_build_object(
        'read_at', read_at, 'users', found_users, 'keys', found_keys, 'claims', found_claims,
        'holds', found_holds);
    RETURN NEXT;
END $$;

-- Write decided transactions, their announcements and entries, and what became of wallets and holds, in one
-- statement; see posting.sql for the other three.
--   p_transactions  rows of transactions_transaction; what is null is that column's empty value
DROP FUNCTION post_ledger(json, posted_entry[], posted_wallet[], json);
CREATE FUNCTION post_ledger(
    p_transactions posted_transaction[], p_entries posted_entry[], p_wallets posted_wallet[], p_holds json
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT FROM transactions_ledgerhalt WHERE cleared_at IS NULL) THEN
        RAISE EXCEPTION 'postings are halted' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    WITH written_transactions AS (
        INSERT INTO transactions_transaction (
            id, kind, status, amount, currency, fee, to_amount, to_currency, from_wallet_id, to_wallet_id,
            parent_id, initiated_by_id, idempotency_key, fingerprint, description, metadata, decline_code,
            facts, request_id, client_address, created_at
        )
        SELECT id, kind, status, amount, currency, fee, to_amount, coalesce(to_currency, ''),
               from_wallet_id, to_wallet_id, parent_id, initiated_by_id, idempotency_key,
               fingerprint, coalesce(description, ''), coalesce(metadata, '{}'),
               coalesce(decline_code, ''), facts,
               coalesce(request_id, ''), client_address, created_at
        FROM unnest(p_transactions)
        RETURNING id, status
    ), announced AS (
        INSERT INTO events_outboxevent (id, type)
        SELECT id, 'transaction.' || status FROM written_transactions
    ), written_entries AS (
        INSERT INTO transactions_ledgerentry (
            transaction_id, leg, wallet_id, sequence, amount, currency, balance_after, previous_hash,
            hash, created_at
        )
        SELECT t, leg, w, sequence, amount, currency, balance_after,
               coalesce(decode(previous_hash, 'hex'), ''), decode(hash, 'hex'), at
        FROM unnest(p_entries)
    ), moved_wallets AS (
        UPDATE wallet_wallet w
        SET balance = r.balance, held = r.held, last_sequence = r.last_sequence,
            head_hash = coalesce(decode(r.head_hash, 'hex'), ''), last_entry_at = r.last_entry_at,
            spent_on = coalesce(r.spent_on, w.spent_on),
            spent_in_day = coalesce(r.spent_in_day, w.spent_in_day),
            spent_in_month = coalesce(r.spent_in_month, w.spent_in_month)
        FROM unnest(p_wallets) AS r
        WHERE w.id = r.id
    )
    INSERT INTO wallet_hold AS h (
        id, wallet_id, status, amount, fee, currency, captured_amount, captured_fee, expires_at,
        created_at, closed_at
    )
    SELECT id, wallet_id, status, amount, fee, currency, captured_amount, captured_fee, expires_at,
           created_at, closed_at
    FROM json_to_recordset(p_holds) AS (
        id uuid, wallet_id uuid, status text, amount numeric, fee numeric, currency text,
        captured_amount numeric, captured_fee numeric, expires_at timestamptz, created_at timestamptz,
        closed_at timestamptz
    )
    ON CONFLICT (id) DO UPDATE
    SET status = excluded.status, captured_amount = excluded.captured_amount,
        captured_fee = excluded.captured_fee, closed_at = excluded.closed_at;
END $$;

-- Executable by the application's role alone (fintech_core/sql/grant_role.sql).
REVOKE ALL ON FUNCTION post_ledger(posted_transaction[], posted_entry[], posted_wallet[], json) FROM PUBLIC;

-- After entries were inserted: each belongs to a posted transaction, which has two or more that sum to zero,
-- follows the one before it in its wallet, and the wallet has moved with it. Their hashes are checked with
-- their transactions, without which no entry comes.
CREATE OR REPLACE FUNCTION entries_are_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    fact text;
BEGIN
    -- Legs count from 1 within this statement, and (transaction, leg) is unique: so no entry can join a
    -- transaction that already has some.
    SELECT broken INTO fact FROM (
        SELECT CASE
            WHEN g.is_exact IS NOT TRUE THEN 'entry_amount_is_exact'
            WHEN NOT g.is_whole AND g.total <> 0 THEN 'transaction_sums_to_zero'
            WHEN g.is_whole AND (g.legs < 2 OR g.first <> 1 OR g.last <> g.legs)
                THEN 'transaction_is_posted_whole'
            WHEN g.is_whole AND t.status IS DISTINCT FROM 'posted'
                THEN 'entry_belongs_to_a_posted_transaction'
            END AS broken
        FROM (
            SELECT transaction_id, grouping(currency) = 1 AS is_whole, sum(amount) AS total,
                   count(*) AS legs, min(leg) AS first, max(leg) AS last,
                   bool_and(amount <> 0 AND is_exact_money(amount, currency)
                            AND is_exact_money(balance_after, currency) AND sequence >= 1) AS is_exact
            FROM new_entries
            GROUP BY GROUPING SETS ((transaction_id, currency), (transaction_id))
        ) g
        LEFT JOIN transactions_transaction t ON t.id = g.transaction_id AND g.is_whole
    ) AS judged WHERE broken IS NOT NULL
    ORDER BY array_position(ARRAY['entry_amount_is_exact', 'transaction_sums_to_zero',
                                  'transaction_is_posted_whole'], broken)
    LIMIT 1;
    IF fact IS NOT NULL THEN
        PERFORM ledger_refuse(fact, CASE fact
            WHEN 'entry_amount_is_exact' THEN
                'an entry has an amount, finite and with its currency''s places, and a number from 1'
            WHEN 'transaction_sums_to_zero' THEN
                'the entries of a transaction sum to zero in each currency'
            WHEN 'transaction_is_posted_whole' THEN
                'all entries of a transaction, two or more, are inserted by one statement'
            ELSE 'an entry belongs to a transaction that is posted with it'
            END);
    END IF;
    SELECT broken INTO fact FROM (
        SELECT CASE
            WHEN e.created_at < p.created_at
                OR (p.wallet_id IS NULL AND e.sequence <> 1)
                OR e.balance_after <> coalesce(p.balance_after, 0) + e.amount
                OR e.previous_hash <> coalesce(p.hash, '\x'::bytea)
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
        LEFT JOIN transactions_ledgerentry p
            ON p.wallet_id = e.wallet_id AND p.sequence = e.sequence - 1
        LEFT JOIN wallet_wallet w ON w.id = e.wallet_id
    ) AS judged WHERE broken IS NOT NULL LIMIT 1;
    IF fact IS NOT NULL THEN
        PERFORM ledger_refuse(fact, CASE fact
            WHEN 'entry_continues_the_chain' THEN 'an entry continues its wallet''s chain'
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
-- that exists, or the platform. What names a parent fits it, and each is in the outbox.
CREATE OR REPLACE FUNCTION transactions_are_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    fact text;
BEGIN
    SELECT broken INTO fact FROM (
        SELECT CASE
            WHEN t.kind <> ALL ('{transfer,deposit,withdrawal,refund,reversal,conversion,fee,adjustment}')
                OR t.status <> ALL ('{posted,declined,pending,voided,expired}')
                THEN 'transaction_kind_and_status_are_known'
            WHEN (t.status = 'declined') <> (t.decline_code <> '')
                THEN 'declined_exactly_with_a_decline_code'
            WHEN (t.to_amount IS NULL AND t.to_currency = ''
                  OR t.kind = 'conversion' AND t.to_amount > 0 AND t.to_currency <> t.currency) IS NOT TRUE
                THEN 'only_a_conversion_changes_currency'
            WHEN t.from_wallet_id = t.to_wallet_id AND t.status <> 'declined'
                THEN 'wallets_of_a_transaction_differ'
            WHEN t.parent_id IS NULL AND t.status IN ('voided', 'expired') THEN 'what_ends_a_hold_names_it'
            WHEN t.parent_id IS NULL AND t.kind = 'reversal' THEN 'reversal_names_its_original'
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
                                  AND (w.kind = 'user' OR e.currency NOT IN (t.currency, t.to_currency)
                                       OR e.created_at <> t.created_at
                                       OR e.hash <> entry_hash(e.previous_hash, s.digest, e.wallet_id,
                                              e.sequence, e.leg, e.amount, e.balance_after))))
                THEN 'transaction_tells_its_entries'
            WHEN t.status = 'posted'
                AND ((d.created_at, c.created_at) <> (t.created_at, t.created_at)
                     OR d.hash <> entry_hash(d.previous_hash, s.digest, d.wallet_id, d.sequence, d.leg,
                                             d.amount, d.balance_after)
                     OR c.hash <> entry_hash(c.previous_hash, s.digest, c.wallet_id, c.sequence, c.leg,
                                             c.amount, c.balance_after))
                THEN 'entry_continues_the_chain'
            WHEN t.status <> 'posted'
                AND (NOT EXISTS (SELECT FROM wallet_wallet w WHERE w.id = t.from_wallet_id)
                     OR NOT EXISTS (SELECT FROM wallet_wallet w WHERE w.id = t.to_wallet_id))
                THEN 'transaction_names_wallets_that_exist'
            WHEN t.status = 'pending' AND NOT EXISTS (SELECT FROM wallet_hold h WHERE h.id = t.id)
                THEN 'pending_transaction_has_its_hold'
            WHEN t.initiated_by_id IS NOT NULL AND u.id IS NULL
                THEN 'transaction_names_a_caller_that_exists'
            WHEN o.type IS DISTINCT FROM 'transaction.' || t.status THEN 'transaction_is_announced'
            END AS broken
        FROM new_transactions t
        -- OFFSET keeps the planner from computing it anew wherever it is named.
        CROSS JOIN LATERAL (SELECT CASE WHEN isfinite(t.created_at) THEN transaction_digest(
            t.id, t.kind, t.amount, t.currency, t.fee, t.to_amount, t.to_currency, t.from_wallet_id,
            t.to_wallet_id, t.parent_id, t.initiated_by_id, t.idempotency_key, t.fingerprint,
            t.request_id, t.client_address, t.created_at, t.description, t.metadata) END AS digest
            OFFSET 0) s
        LEFT JOIN transactions_ledgerentry d ON d.transaction_id = t.id AND d.leg = 1
        LEFT JOIN transactions_ledgerentry c ON c.transaction_id = t.id AND c.leg = 2
        LEFT JOIN users_user u ON u.id = t.initiated_by_id
        LEFT JOIN events_outboxevent o ON o.id = t.id
    ) AS judged WHERE broken IS NOT NULL LIMIT 1;
    IF fact IS NULL AND EXISTS (SELECT FROM new_transactions WHERE parent_id IS NOT NULL) THEN
        SELECT broken INTO fact FROM (
            SELECT CASE
                WHEN p.id IS NULL THEN 'transaction_names_a_parent_that_exists'
                WHEN t.status = 'declined' THEN NULL
                WHEN t.kind IN ('reversal', 'refund') THEN CASE
                    WHEN t.status <> 'posted' OR p.status NOT IN ('posted', 'pending')
                        OR (p.parent_id IS NOT NULL AND p.kind <> 'refund') OR p.to_amount IS NOT NULL
                        OR (t.from_wallet_id, t.to_wallet_id, t.currency)
                            <> (p.to_wallet_id, p.from_wallet_id, p.currency)
                        OR given_back(p.id) > CASE p.status WHEN 'posted' THEN p.amount
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
            WHEN 'entry_continues_the_chain' THEN
                'an entry has the time of its transaction, and the hash of both and of the one before it'
            WHEN 'transaction_is_announced' THEN
                'a transaction comes with its row of the outbox, in one statement'
            ELSE replace(fact, '_', ' ') END);
    END IF;
    RETURN NULL;
END $$;

-- After wallets were inserted: they are a user's or the platform's, and empty, and count their limits at a
-- wallet of the same owner and currency that counts its own.
CREATE OR REPLACE FUNCTION wallets_start_empty() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM new_wallets
               WHERE kind <> ALL ('{user,cash,fees,suspense,exchange,rounding}')
                  OR status <> ALL ('{active,frozen,closed}')) THEN
        PERFORM ledger_refuse('wallet_kind_and_status_are_known', 'a wallet has a known kind and status');
    END IF;
    IF EXISTS (SELECT FROM new_wallets
               WHERE (kind = 'user') <> (owner_id IS NOT NULL) OR (kind = 'user') <> (purpose = '')) THEN
        PERFORM ledger_refuse('wallet_is_a_users_or_the_platforms',
            'a wallet has an owner, or else a purpose of the platform');
    END IF;
    IF EXISTS (SELECT FROM new_wallets
               WHERE user_id IS NOT NULL AND user_id IS DISTINCT FROM owner_id) THEN
        PERFORM ledger_refuse('primary_wallet_is_its_owners', 'a primary wallet is its owner''s');
    END IF;
    IF EXISTS (SELECT FROM new_wallets WHERE currency !~ '^[A-Z]{3}$') THEN
        PERFORM ledger_refuse('wallet_currency_is_a_code', 'a currency is three upper-case letters');
    END IF;
    IF EXISTS (SELECT FROM new_wallets
               WHERE balance <> 0 OR held <> 0 OR last_sequence <> 0 OR head_hash <> '\x'::bytea
                  OR last_entry_at IS NOT NULL
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
            WHEN w.kind = 'user' AND w.balance < w.held - coalesce(w.overdraft_limit, 0)
                THEN 'available_is_never_negative'
            WHEN w.held < 0 THEN 'held_is_never_negative'
            WHEN w.overdraft_limit < 0 OR (w.overdraft_limit IS NOT NULL AND w.kind <> 'user')
                THEN 'overdraft_limit_is_a_users_and_not_negative'
            WHEN w.status = 'closed' AND (w.balance <> 0 OR w.held <> 0) THEN 'closed_wallet_is_empty'
            WHEN w.status <> ALL ('{active,frozen,closed}') THEN 'wallet_kind_and_status_are_known'
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
            WHEN (w.balance, w.head_hash, w.last_entry_at)
                 IS DISTINCT FROM (coalesce(e.balance_after, 0), coalesce(e.hash, '\x'::bytea), e.created_at)
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
