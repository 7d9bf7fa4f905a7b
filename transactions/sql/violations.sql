-- Every invariant of the ledger that one look at the tables can show broken; no rows means all hold.
-- One statement sees one moment. docs/invariants.md explains the names.
CREATE OR REPLACE FUNCTION ledger_violations() RETURNS TABLE (invariant text, subject text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH chained AS MATERIALIZED (
        SELECT e.*, t.id AS of_transaction, t.status, t.hash_scheme,
               t.kind, t.amount AS t_amount, t.currency AS t_currency, t.fee, t.to_amount, t.to_currency,
               t.from_wallet_id, t.to_wallet_id, t.parent_id, t.initiated_by_id, t.idempotency_key,
               t.fingerprint, t.request_id, t.client_address, t.created_at AS t_created_at,
               t.description, t.metadata,
               lag(e.sequence, 1, 0::bigint) OVER chain AS sequence_before,
               lag(e.balance_after, 1, 0::numeric) OVER chain AS balance_before,
               lag(e.hash, 1, '\x'::bytea) OVER chain AS hash_before,
               lag(e.created_at) OVER chain AS time_before
        FROM transactions_ledgerentry e
        LEFT JOIN transactions_transaction t ON t.id = e.transaction_id
        WINDOW chain AS (PARTITION BY e.wallet_id ORDER BY e.sequence)
    )
    SELECT 'I1 transaction sums to zero', transaction_id::text
    FROM transactions_ledgerentry GROUP BY transaction_id, currency HAVING sum(amount) <> 0
    UNION ALL
    SELECT 'I1 transaction has two or more entries', t.id::text
    FROM transactions_transaction t
    LEFT JOIN (SELECT transaction_id, count(*) AS entries FROM transactions_ledgerentry
               GROUP BY transaction_id) e ON e.transaction_id = t.id
    WHERE (t.status = 'posted') <> (coalesce(e.entries, 0) >= 2) OR (t.status <> 'posted' AND e.entries > 0)
    UNION ALL
    SELECT 'I2 ledger sums to zero', currency
    FROM transactions_ledgerentry GROUP BY currency HAVING sum(amount) <> 0
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
    SELECT 'I4 no entry leaves a user''s wallet below zero', e.id::text
    FROM transactions_ledgerentry e JOIN wallet_wallet w ON w.id = e.wallet_id
    WHERE e.balance_after < 0 AND w.kind = 'user' AND w.overdraft_limit IS NULL
    UNION ALL
    SELECT 'I14 transaction tells its entries', t.id::text
    FROM transactions_transaction t
    LEFT JOIN transactions_ledgerentry d ON d.transaction_id = t.id AND d.leg = 1
    LEFT JOIN transactions_ledgerentry c ON c.transaction_id = t.id AND c.leg = 2
    WHERE t.status = 'posted'
      AND (d.wallet_id, d.currency, d.amount, c.wallet_id, c.currency, c.amount)
          IS DISTINCT FROM
          (t.from_wallet_id, t.currency::text, -(t.amount + t.fee), t.to_wallet_id,
           coalesce(nullif(t.to_currency, ''), t.currency)::text, coalesce(t.to_amount, t.amount))
    UNION ALL
    SELECT 'I14 others'' wallets are left alone', e.id::text
    FROM transactions_ledgerentry e
    JOIN transactions_transaction t ON t.id = e.transaction_id
    JOIN wallet_wallet w ON w.id = e.wallet_id
    WHERE e.leg > 2 AND (w.kind = 'user' OR e.currency NOT IN (t.currency, t.to_currency))
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
    SELECT 'I17 sequence, time, running balance and hash chain', id::text
    FROM chained
    WHERE of_transaction IS NULL
       OR sequence <> sequence_before + 1
       OR created_at <> t_created_at OR created_at < time_before
       OR balance_after <> balance_before + amount
       OR previous_hash <> hash_before
       OR hash <> CASE hash_scheme
           WHEN 1 THEN sha256(previous_hash || ledger_leaf(
               transaction_facts(
                   of_transaction, kind, t_amount, t_currency, from_wallet_id, to_wallet_id,
                   initiated_by_id, idempotency_key, fingerprint, description, metadata, request_id,
                   client_address, t_created_at),
               leg, wallet_id, sequence, amount, balance_after))
           ELSE entry_hash(previous_hash, transaction_digest(
               of_transaction, kind, t_amount, t_currency, fee, to_amount, to_currency, from_wallet_id,
               to_wallet_id, parent_id, initiated_by_id, idempotency_key, fingerprint, request_id,
               client_address, t_created_at, description, metadata),
               wallet_id, sequence, leg, amount, balance_after)
           END
    UNION ALL
    SELECT 'I18 entry has its wallet''s currency', e.id::text
    FROM transactions_ledgerentry e LEFT JOIN wallet_wallet w ON w.id = e.wallet_id
    WHERE e.currency IS DISTINCT FROM w.currency
    UNION ALL
    SELECT 'I18 transaction names wallets and a caller that exist', t.id::text
    FROM transactions_transaction t
    LEFT JOIN wallet_wallet f ON f.id = t.from_wallet_id
    LEFT JOIN wallet_wallet g ON g.id = t.to_wallet_id
    LEFT JOIN users_user u ON u.id = t.initiated_by_id
    WHERE f.id IS NULL OR g.id IS NULL OR (t.initiated_by_id IS NOT NULL AND u.id IS NULL)
    UNION ALL
    SELECT 'I19 amount is finite, exact and not zero', id::text
    FROM transactions_ledgerentry WHERE amount = 0 OR NOT is_exact_money(amount, currency)
    UNION ALL
    SELECT 'I20 nobody pays himself', id::text
    FROM transactions_transaction WHERE status = 'posted' AND from_wallet_id = to_wallet_id
$$;
