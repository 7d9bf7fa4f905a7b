-- Every invariant of the ledger that one look at the tables can show broken; no rows means all hold.
-- One statement sees one moment. docs/invariants.md explains the names.
CREATE FUNCTION ledger_violations() RETURNS TABLE (invariant text, subject text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT 'I1 transaction sums to zero', transaction_id::text
    FROM transactions_ledgerentry GROUP BY transaction_id, currency HAVING sum(amount) <> 0
    UNION ALL
    SELECT 'I1 transaction has two or more entries', t.id::text
    FROM transactions_transaction t LEFT JOIN transactions_ledgerentry e ON e.transaction_id = t.id
    GROUP BY t.id, t.status
    HAVING (t.status = 'posted' AND count(e.id) < 2) OR (t.status <> 'posted' AND count(e.id) > 0)
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
    SELECT 'I4 available is never negative', id::text
    FROM wallet_wallet WHERE held < 0 OR (kind = 'user' AND balance < held)
    UNION ALL
    SELECT 'I4 no entry leaves a user''s wallet below zero', e.id::text
    FROM transactions_ledgerentry e JOIN wallet_wallet w ON w.id = e.wallet_id
    WHERE e.balance_after < 0 AND w.kind = 'user'
    UNION ALL
    SELECT 'I14 transaction tells its entries', t.id::text
    FROM transactions_transaction t
    LEFT JOIN transactions_ledgerentry d ON d.transaction_id = t.id AND d.leg = 1
    LEFT JOIN transactions_ledgerentry c ON c.transaction_id = t.id AND c.leg = 2
    WHERE t.status = 'posted'
      AND ((d.wallet_id, d.currency, c.wallet_id, c.currency, c.amount)
           IS DISTINCT FROM (t.from_wallet_id, t.currency, t.to_wallet_id, t.currency, t.amount)
           OR d.amount > -t.amount)
    UNION ALL
    SELECT 'I14 others'' wallets are left alone', e.id::text
    FROM transactions_ledgerentry e
    JOIN transactions_transaction t ON t.id = e.transaction_id
    JOIN wallet_wallet w ON w.id = e.wallet_id
    WHERE e.leg > 2 AND (w.kind = 'user' OR e.currency <> t.currency)
    UNION ALL
    SELECT 'I28 wallet belongs to a user', w.id::text
    FROM wallet_wallet w LEFT JOIN users_user u ON u.id = w.user_id
    WHERE w.user_id IS NOT NULL AND u.id IS NULL
    UNION ALL
    SELECT 'I17 sequence, time, running balance and hash chain', e.id::text
    FROM (SELECT l.*,
                 lag(sequence, 1, 0::bigint) OVER chain AS sequence_before,
                 lag(balance_after, 1, 0::numeric) OVER chain AS balance_before,
                 lag(hash, 1, '\x'::bytea) OVER chain AS hash_before,
                 lag(created_at) OVER chain AS time_before
          FROM transactions_ledgerentry l
          WINDOW chain AS (PARTITION BY wallet_id ORDER BY sequence)) e
    LEFT JOIN transactions_transaction t ON t.id = e.transaction_id
    WHERE t.id IS NULL
       OR e.sequence <> e.sequence_before + 1
       OR e.created_at <> t.created_at OR e.created_at < e.time_before
       OR e.balance_after <> e.balance_before + e.amount
       OR e.previous_hash <> e.hash_before
       OR e.hash <> sha256(e.previous_hash || ledger_leaf(
              transaction_facts(
                  t.id, t.kind, t.amount, t.currency, t.from_wallet_id, t.to_wallet_id,
                  t.initiated_by_id, t.idempotency_key, t.fingerprint, t.description,
                  t.metadata, t.request_id, t.client_address, t.created_at),
              e.leg, e.wallet_id, e.sequence, e.amount, e.balance_after))
    UNION ALL
    SELECT 'I18 entry has its wallet''s currency', e.id::text
    FROM transactions_ledgerentry e JOIN wallet_wallet w ON w.id = e.wallet_id
    WHERE e.currency <> w.currency
    UNION ALL
    SELECT 'I19 amount is finite, exact and not zero', id::text
    FROM transactions_ledgerentry WHERE amount = 0 OR NOT is_exact_money(amount, currency)
    UNION ALL
    SELECT 'I20 nobody pays himself', id::text
    FROM transactions_transaction WHERE status = 'posted' AND from_wallet_id = to_wallet_id
$$;
