-- Every fact about money in and out that one look at the tables can show broken; no rows means all hold. One
-- statement sees one moment. docs/payments.md explains the names.
CREATE FUNCTION payment_violations() RETURNS TABLE (invariant text, subject text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    SELECT 'I14 succeeded is one deposit of exactly the amount', i.id::text
    FROM payments_paymentintent i
    LEFT JOIN transactions_transaction t ON t.id = i.transaction_id
    LEFT JOIN wallet_wallet c ON c.id = t.from_wallet_id
    WHERE (i.status = 'succeeded') <> (i.transaction_id IS NOT NULL)
       OR (i.transaction_id IS NOT NULL
           AND (t.kind, t.status, t.amount, t.currency::text, t.to_wallet_id, c.purpose,
                t.idempotency_key, t.initiated_by_id)
               IS DISTINCT FROM ('deposit', 'posted', i.amount, i.currency::text, i.wallet_id,
                                 'cash:' || i.provider, 'intent ' || i.id, NULL::uuid))
    UNION ALL
    SELECT 'I12 deposit belongs to its intent alone', t.id::text
    FROM transactions_transaction t
    LEFT JOIN payments_paymentintent i ON i.transaction_id = t.id
    WHERE t.kind = 'deposit' AND t.status = 'posted' AND t.initiated_by_id IS NULL
      AND t.idempotency_key LIKE 'intent %'
      AND t.idempotency_key IS DISTINCT FROM 'intent ' || i.id
    UNION ALL
    SELECT 'I16 refunded is what the refunds add up to', i.id::text
    FROM payments_paymentintent i
    LEFT JOIN payments_refund r ON r.intent_id = i.id AND r.status <> 'failed'
    GROUP BY i.id
    HAVING i.refunded_amount <> coalesce(sum(r.amount), 0) OR i.refunded_amount > i.amount
    UNION ALL
    SELECT 'I16 refund took exactly its amount', r.id::text
    FROM payments_refund r
    JOIN payments_paymentintent i ON i.id = r.intent_id
    LEFT JOIN transactions_transaction t ON t.id = r.transaction_id
    WHERE (t.kind, t.status, t.amount, t.currency::text, t.from_wallet_id, t.parent_id)
          IS DISTINCT FROM ('refund', 'posted', r.amount, r.currency::text, i.wallet_id, i.transaction_id)
    UNION ALL
    SELECT 'I16 exactly a failed refund is returned', r.id::text
    FROM payments_refund r
    LEFT JOIN transactions_transaction t
        ON t.parent_id = r.transaction_id AND t.kind = 'reversal' AND t.status = 'posted'
    WHERE (r.status = 'failed') <> (r.return_transaction_id IS NOT NULL)
       OR r.return_transaction_id IS DISTINCT FROM t.id
       OR t.amount <> r.amount
    UNION ALL
    SELECT 'I16 refund in the ledger is one of a payment', t.id::text
    FROM transactions_transaction t
    JOIN payments_paymentintent i ON i.transaction_id = t.parent_id
    LEFT JOIN payments_refund r ON r.transaction_id = t.id
    WHERE t.kind IN ('refund', 'reversal') AND t.status = 'posted' AND r.id IS NULL
    UNION ALL
    SELECT 'P7 payout fits its hold', p.id::text
    FROM payments_payout p WHERE NOT payout_fits_its_hold(p)
    UNION ALL
    SELECT 'P7 withdrawal through a provider is a payout', t.id::text
    FROM transactions_transaction t
    JOIN wallet_wallet c ON c.id = t.to_wallet_id
    LEFT JOIN payments_payout p ON p.transaction_id = t.id
    WHERE t.kind = 'withdrawal' AND t.status = 'pending' AND p.id IS NULL
      AND c.purpose IN (SELECT DISTINCT 'cash:' || provider FROM payments_payout)
$$;
