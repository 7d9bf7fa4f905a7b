-- Every transaction is announced: post_ledger() writes its row of the outbox in the same statement, and no
-- transaction is taken without one. A refund that its provider could not make may be reversed, and counts no
-- more. What every posting checks is read once: a digest for each transaction and not for each entry.

-- How much of a posted transaction, or of what a hold captured, was given back; what of that came back again
-- does not count.
CREATE FUNCTION given_back(p_transaction uuid) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET jit = off AS $$
    SELECT coalesce(sum(r.amount - coalesce((
        SELECT sum(b.amount) FROM transactions_transaction b
        WHERE b.parent_id = r.id AND b.status = 'posted'), 0)), 0)
    FROM transactions_transaction r
    WHERE r.parent_id = p_transaction AND r.status = 'posted' AND r.kind IN ('reversal', 'refund')
$$;

-- As before, and with the announcement; see posting.sql for what it takes.
CREATE OR REPLACE FUNCTION post_ledger(
    p_transactions json, p_entries posted_entry[], p_wallets posted_wallet[], p_holds json
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
               from_wallet_id, to_wallet_id, parent_id, initiated_by_id, idempotency_key, fingerprint,
               coalesce(description, ''), coalesce(metadata, '{}'), coalesce(decline_code, ''), facts,
               coalesce(request_id, ''), client_address, created_at
        FROM json_to_recordset(p_transactions) AS (
            id uuid, kind text, status text, amount numeric, currency text, fee numeric, to_amount numeric,
            to_currency text, from_wallet_id uuid, to_wallet_id uuid, parent_id uuid,
            initiated_by_id uuid, idempotency_key text, fingerprint bytea, description text,
            metadata jsonb, decline_code text, facts jsonb, request_id text, client_address inet,
            created_at timestamptz
        )
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

-- After entries were inserted: each belongs to a posted transaction, which has two or more that sum to zero,
-- follows the one before it in its wallet, and the wallet has moved with it. Their hashes are checked with
-- their transactions, without which no entry comes.
CREATE OR REPLACE FUNCTION entries_are_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
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
        LEFT JOIN LATERAL (SELECT status FROM transactions_transaction
                           WHERE id = g.transaction_id AND g.is_whole LIMIT 1) t ON true
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
        LEFT JOIN LATERAL (SELECT wallet_id, created_at, balance_after, hash
                           FROM transactions_ledgerentry
                           WHERE wallet_id = e.wallet_id AND sequence = e.sequence - 1 LIMIT 1) p ON true
        LEFT JOIN LATERAL (SELECT currency, last_sequence, balance, head_hash, overdraft_limit, kind
                           FROM wallet_wallet WHERE id = e.wallet_id LIMIT 1) w ON true
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
        LEFT JOIN LATERAL (SELECT * FROM transactions_ledgerentry
                           WHERE transaction_id = t.id AND leg = 1 LIMIT 1) d ON true
        LEFT JOIN LATERAL (SELECT * FROM transactions_ledgerentry
                           WHERE transaction_id = t.id AND leg = 2 LIMIT 1) c ON true
        LEFT JOIN LATERAL (SELECT id FROM users_user WHERE id = t.initiated_by_id LIMIT 1) u ON true
        LEFT JOIN LATERAL (SELECT type FROM events_outboxevent WHERE id = t.id LIMIT 1) o ON true
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

-- ledger_violations() and verify_transactions(), which now know refunds that came back.
CREATE OR REPLACE FUNCTION ledger_violations() RETURNS TABLE (invariant text, subject text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
SET jit = off SET work_mem = '256MB' SET parallel_tuple_cost = 0
SET max_parallel_workers_per_gather = 4 AS $$
    WITH totals AS MATERIALIZED (
        SELECT transaction_id, currency, count(*) AS entries, sum(amount) AS total,
               min(leg) AS first, max(leg) AS last
        FROM transactions_ledgerentry GROUP BY transaction_id, currency
    )
    SELECT 'I1 transaction sums to zero', transaction_id::text FROM totals WHERE total <> 0
    UNION ALL
    SELECT 'I1 transaction has two or more entries', transaction_id::text
    FROM totals
    WHERE transaction_id IN (SELECT transaction_id FROM totals
                             WHERE entries < 2 OR first <> 1 OR last <> entries)
    GROUP BY transaction_id
    HAVING sum(entries) < 2 OR min(first) <> 1 OR max(last) <> sum(entries)
    UNION ALL
    SELECT 'I1 exactly what is posted has entries', t.id::text
    FROM transactions_transaction t
    LEFT JOIN totals e ON e.transaction_id = t.id AND e.first = 1
    WHERE (t.status = 'posted') <> (e.transaction_id IS NOT NULL)
    UNION ALL
    SELECT 'I2 ledger sums to zero', currency
    FROM totals GROUP BY currency HAVING sum(total) <> 0
    UNION ALL
    SELECT 'I2 wallets sum to zero', currency
    FROM wallet_wallet GROUP BY currency HAVING sum(balance) <> 0
    UNION ALL
    SELECT 'I3 balance is the sum of the entries', w.id::text
    FROM wallet_wallet w
    LEFT JOIN (SELECT wallet_id, sum(amount) AS total, max(sequence) AS newest
               FROM transactions_ledgerentry GROUP BY wallet_id) e ON e.wallet_id = w.id
    WHERE w.balance <> coalesce(e.total, 0) OR w.last_sequence <> coalesce(e.newest, 0)
    UNION ALL
    SELECT 'I3 wallet stands at its newest entry', w.id::text
    FROM wallet_wallet w
    LEFT JOIN transactions_ledgerentry e ON e.wallet_id = w.id AND e.sequence = w.last_sequence
    WHERE (w.balance, w.head_hash) IS DISTINCT FROM (coalesce(e.balance_after, 0), coalesce(e.hash, '\x'))
    UNION ALL
    SELECT 'I3 held is what the open holds reserve', w.id::text
    FROM wallet_wallet w
    LEFT JOIN (SELECT wallet_id, sum(amount - captured_amount + fee - captured_fee) AS reserved
               FROM wallet_hold WHERE status = 'open' GROUP BY wallet_id) h ON h.wallet_id = w.id
    WHERE w.held <> coalesce(h.reserved, 0)
    UNION ALL
    SELECT 'I4 available is never negative', id::text
    FROM wallet_wallet
    WHERE held < 0 OR (kind = 'user' AND balance - held < -coalesce(overdraft_limit, 0))
    UNION ALL
    SELECT 'I16 no more is reversed than was posted', p.id::text
    FROM transactions_transaction r
    JOIN transactions_transaction p ON p.id = r.parent_id
    LEFT JOIN wallet_hold h ON h.id = p.id
    LEFT JOIN (SELECT parent_id, sum(amount) AS amount FROM transactions_transaction
               WHERE parent_id IS NOT NULL AND status = 'posted' AND kind IN ('reversal', 'refund')
               GROUP BY parent_id) b ON b.parent_id = r.id
    WHERE r.status = 'posted' AND r.kind IN ('reversal', 'refund')
    GROUP BY p.id, h.id
    HAVING sum(r.amount - coalesce(b.amount, 0))
        > CASE p.status WHEN 'posted' THEN p.amount ELSE h.captured_amount END
    UNION ALL
    SELECT 'P7 captured is what the captures posted', h.id::text
    FROM wallet_hold h
    LEFT JOIN transactions_transaction c
        ON c.parent_id = h.id AND c.status = 'posted' AND c.kind NOT IN ('reversal', 'refund')
    GROUP BY h.id
    HAVING (h.captured_amount, h.captured_fee) <> (coalesce(sum(c.amount), 0), coalesce(sum(c.fee), 0))
    UNION ALL
    SELECT 'P7 pending transaction has its hold', t.id::text
    FROM transactions_transaction t LEFT JOIN wallet_hold h ON h.id = t.id
    WHERE t.status = 'pending'
      AND (h.wallet_id, h.amount, h.fee, h.currency::text)
          IS DISTINCT FROM (t.from_wallet_id, t.amount, t.fee, t.currency::text)
    UNION ALL
    SELECT 'I28 wallet belongs to a user', w.id::text
    FROM wallet_wallet w LEFT JOIN users_user u ON u.id = w.owner_id
    WHERE w.owner_id IS NOT NULL AND u.id IS NULL
    UNION ALL
    SELECT e.invariant, e.subject
    FROM (
        SELECT e.id::text AS subject, CASE
            WHEN e.currency IS DISTINCT FROM w.currency THEN 'I18 entry has its wallet''s currency'
            WHEN e.amount = 0 OR NOT is_exact_money(e.amount, e.currency)
                THEN 'I19 amount is finite, exact and not zero'
            WHEN e.balance_after < 0 AND w.kind = 'user' AND w.overdraft_limit IS NULL
                THEN 'I4 no entry leaves a user''s wallet below zero'
            WHEN t.id IS NULL
                OR (p.id IS NULL AND e.sequence <> 1)
                OR e.created_at <> t.created_at OR e.created_at < p.created_at
                OR e.balance_after <> coalesce(p.balance_after, 0) + e.amount
                OR e.previous_hash <> coalesce(p.hash, '\x'::bytea)
                OR e.hash IS DISTINCT FROM CASE t.hash_scheme
                    WHEN 1 THEN sha256(e.previous_hash || ledger_leaf(
                        transaction_facts(
                            t.id, t.kind, t.amount, t.currency, t.from_wallet_id, t.to_wallet_id,
                            t.initiated_by_id, t.idempotency_key, t.fingerprint, t.description,
                            t.metadata, t.request_id, t.client_address, t.created_at),
                        e.leg, e.wallet_id, e.sequence, e.amount, e.balance_after))
                    ELSE entry_hash(e.previous_hash, transaction_digest(
                        t.id, t.kind, t.amount, t.currency, t.fee, t.to_amount, t.to_currency,
                        t.from_wallet_id, t.to_wallet_id, t.parent_id, t.initiated_by_id,
                        t.idempotency_key, t.fingerprint, t.request_id, t.client_address, t.created_at,
                        t.description, t.metadata),
                        e.wallet_id, e.sequence, e.leg, e.amount, e.balance_after)
                    END
                THEN 'I17 sequence, time, running balance and hash chain'
            WHEN e.leg = 1 AND (e.wallet_id, e.currency::text, e.amount)
                <> (t.from_wallet_id, t.currency::text, -(t.amount + t.fee))
                THEN 'I14 transaction tells its entries'
            WHEN e.leg = 2 AND (e.wallet_id, e.currency::text, e.amount)
                <> (t.to_wallet_id, coalesce(nullif(t.to_currency, ''), t.currency)::text,
                    coalesce(t.to_amount, t.amount))
                THEN 'I14 transaction tells its entries'
            WHEN e.leg > 2 AND (w.kind = 'user' OR e.currency NOT IN (t.currency, t.to_currency))
                THEN 'I14 others'' wallets are left alone'
            END AS invariant
        FROM transactions_ledgerentry e
        LEFT JOIN transactions_transaction t ON t.id = e.transaction_id
        LEFT JOIN transactions_ledgerentry p
            ON p.wallet_id = e.wallet_id AND p.sequence = e.sequence - 1
        LEFT JOIN wallet_wallet w ON w.id = e.wallet_id
    ) e
    WHERE e.invariant IS NOT NULL
    UNION ALL
    SELECT 'I18 transaction names wallets and a caller that exist', t.id::text
    FROM transactions_transaction t
    LEFT JOIN wallet_wallet f ON f.id = t.from_wallet_id
    LEFT JOIN wallet_wallet g ON g.id = t.to_wallet_id
    LEFT JOIN users_user u ON u.id = t.initiated_by_id
    WHERE f.id IS NULL OR g.id IS NULL OR (t.initiated_by_id IS NOT NULL AND u.id IS NULL)
    UNION ALL
    SELECT 'I20 nobody pays himself', id::text
    FROM transactions_transaction WHERE status = 'posted' AND from_wallet_id = to_wallet_id
$$;

CREATE OR REPLACE FUNCTION verify_transactions(p_after uuid, p_until uuid)
RETURNS TABLE (relation text, subject text, invariant text, expected text, found text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
SET jit = off SET enable_seqscan = off AS $$
    WITH judged AS MATERIALIZED (
        SELECT t.id, t.status, t.from_wallet_id, t.to_wallet_id, t.initiated_by_id,
               e.entries, e.unbalanced, e.strange,
               format('%s %s %s, %s %s %s', t.from_wallet_id, t.currency, -(t.amount + t.fee),
                      t.to_wallet_id, coalesce(nullif(t.to_currency, ''), t.currency),
                      coalesce(t.to_amount, t.amount)) AS told,
               e.did, p.broken AS parent_fact
        FROM transactions_transaction t
        LEFT JOIN LATERAL (
            SELECT count(*) AS entries,
                   string_agg(format('%s %s %s', l.wallet_id, l.currency, l.amount), ', ' ORDER BY l.leg)
                       FILTER (WHERE l.leg <= 2) AS did,
                   (SELECT s.currency || ' ' || sum(s.amount) FROM transactions_ledgerentry s
                    WHERE s.transaction_id = t.id GROUP BY s.currency HAVING sum(s.amount) <> 0
                    ORDER BY s.currency LIMIT 1) AS unbalanced,
                   count(*) FILTER (
                       WHERE w.id IS NULL
                          OR (l.leg > 2 AND (w.kind = 'user'
                                             OR l.currency NOT IN (t.currency, t.to_currency)))
                   ) AS strange
            FROM transactions_ledgerentry l LEFT JOIN wallet_wallet w ON w.id = l.wallet_id
            WHERE l.transaction_id = t.id
        ) e ON true
        LEFT JOIN LATERAL (
            SELECT CASE
                WHEN NOT EXISTS (SELECT FROM transactions_transaction q WHERE q.id = t.parent_id)
                    THEN 'no such transaction'
                WHEN t.status = 'posted' AND t.kind IN ('reversal', 'refund')
                     AND given_back(t.parent_id)
                       > (SELECT CASE q.status WHEN 'posted' THEN q.amount ELSE c.captured_amount END
                          FROM transactions_transaction q LEFT JOIN wallet_hold c ON c.id = q.id
                          WHERE q.id = t.parent_id)
                    THEN 'more is reversed than was posted'
            END AS broken
        ) p ON t.parent_id IS NOT NULL
        WHERE t.id > p_after AND t.id <= p_until
    )
    SELECT 'transactions_transaction', j.id::text, f.invariant, f.expected, f.found
    FROM judged j
    CROSS JOIN LATERAL (
        SELECT v.* FROM (VALUES
            (1, 'I1 transaction sums to zero', '', coalesce(j.unbalanced, '')),
            (2, 'I1 posted has two or more entries, others none',
             CASE WHEN j.status = 'posted' THEN greatest(j.entries, 2) ELSE 0 END::text,
             j.entries::text),
            (3, 'I14 transaction tells its entries', j.told,
             CASE WHEN j.status = 'posted' THEN coalesce(j.did, '') ELSE j.told END),
            (4, 'I14 others'' wallets are left alone', '0', j.strange::text),
            (5, 'I18 transaction names wallets and a caller that exist', 'true',
             (EXISTS (SELECT FROM wallet_wallet w WHERE w.id = j.from_wallet_id)
              AND EXISTS (SELECT FROM wallet_wallet w WHERE w.id = j.to_wallet_id)
              AND (j.initiated_by_id IS NULL
                   OR EXISTS (SELECT FROM users_user u WHERE u.id = j.initiated_by_id)))::text),
            (6, 'P7 pending transaction has its hold', 'true',
             (j.status <> 'pending' OR EXISTS (
                 SELECT FROM wallet_hold h JOIN transactions_transaction t ON t.id = h.id
                 WHERE h.id = j.id AND (h.wallet_id, h.amount, h.fee, h.currency::text)
                     = (t.from_wallet_id, t.amount, t.fee, t.currency::text)))::text),
            (7, 'I16 transaction fits its parent', '', coalesce(j.parent_fact, ''))
        ) AS v (place, invariant, expected, found)
        WHERE v.expected IS DISTINCT FROM v.found ORDER BY v.place LIMIT 1
    ) f
    ORDER BY j.id
$$;
