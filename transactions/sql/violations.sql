-- ledger_violations() for both hash schemes, holds and references; made to read a million entries in seconds: in
-- parallel, and each entry meets its transaction, wallet and predecessor once.
ALTER FUNCTION transaction_facts(uuid, text, numeric, text, uuid, uuid, uuid, text, bytea, text, jsonb, text,
                                 inet, timestamptz) PARALLEL SAFE;
ALTER FUNCTION ledger_leaf(jsonb, integer, uuid, bigint, numeric, numeric) PARALLEL SAFE;
ALTER FUNCTION transaction_digest(uuid, text, numeric, text, numeric, numeric, text, uuid, uuid, uuid, uuid,
                                  text, bytea, text, inet, timestamptz, text, jsonb) PARALLEL SAFE;
ALTER FUNCTION entry_hash(bytea, bytea, uuid, bigint, integer, numeric, numeric) PARALLEL SAFE;

-- Every invariant of the ledger that one look at the tables can show broken; no rows means all hold.
-- One statement sees one moment. docs/invariants.md explains the names.
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
    WHERE r.status = 'posted' AND r.kind IN ('reversal', 'refund')
    GROUP BY p.id, h.id
    HAVING sum(r.amount) > CASE p.status WHEN 'posted' THEN p.amount ELSE h.captured_amount END
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
