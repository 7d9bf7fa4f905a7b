-- Tamper evidence beyond the hash chains: checkpoints are kept, and the ledger is read in parts that each
-- take a moment, however long it is. Each verify_…() returns what is broken as (table, row, invariant,
-- expected, found), in the order of the chain. Rows are looked up by key: a part of the ledger is asked for.

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions_checkpointhead
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions_verification
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
ALTER TABLE transactions_checkpoint ENABLE ALWAYS TRIGGER ledger_is_append_only;
ALTER TABLE transactions_checkpointhead ENABLE ALWAYS TRIGGER ledger_is_append_only;
ALTER TABLE transactions_verification ENABLE ALWAYS TRIGGER ledger_is_append_only;

-- Checkpoints ---------------------------------------------------------------------------------------

-- A leaf of the Merkle trees (RFC 6962, 2.1: a zero byte, then the leaf): where a wallet's chain stands,
-- its balance, and whose wallet it is. What has no fixed length comes last, one field a line.
CREATE FUNCTION checkpoint_leaf(
    wallet uuid, owner uuid, kind text, purpose text, currency text, sequence bigint, balance numeric,
    hash bytea
) RETURNS bytea
LANGUAGE sql STABLE
    RETURN sha256(
        '\x00'::bytea || uuid_send(wallet)
        || uuid_send(coalesce(owner, '00000000-0000-0000-0000-000000000000'::uuid))
        || int8send(sequence) || hash
        || convert_to(concat_ws(E'\n', kind, currency, balance, purpose), 'UTF8')
    );

-- Keep the heads of all wallets that moved since they were last kept; returns how many did.
CREATE FUNCTION keep_changed_heads(p_checkpoint bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
DECLARE
    kept bigint;
BEGIN
    INSERT INTO transactions_checkpointhead (checkpoint_id, wallet_id, sequence, hash, leaf)
    SELECT p_checkpoint, w.id, w.last_sequence, w.head_hash,
           checkpoint_leaf(w.id, w.owner_id, w.kind, w.purpose, w.currency, w.last_sequence, w.balance,
                           w.head_hash)
    FROM wallet_wallet w
    WHERE w.last_sequence > 0
      AND NOT EXISTS (SELECT FROM transactions_checkpointhead h
                      WHERE h.wallet_id = w.id AND h.sequence = w.last_sequence);
    GET DIAGNOSTICS kept = ROW_COUNT;
    RETURN kept;
END $$;

-- The leaves of a checkpoint in the order of wallet ids: of the wallets that moved, or of all.
CREATE FUNCTION changed_leaves(p_checkpoint bigint) RETURNS TABLE (leaf bytea)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    SELECT leaf FROM transactions_checkpointhead WHERE checkpoint_id = p_checkpoint ORDER BY wallet_id
$$;

CREATE FUNCTION all_leaves(p_checkpoint bigint) RETURNS TABLE (leaf bytea)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    SELECT h.leaf
    FROM wallet_wallet w
    JOIN LATERAL (SELECT leaf FROM transactions_checkpointhead
                  WHERE wallet_id = w.id AND checkpoint_id <= p_checkpoint
                  ORDER BY sequence DESC LIMIT 1) h ON true
    ORDER BY w.id
$$;

-- Parts ---------------------------------------------------------------------------------------------

-- The next wallets with entries that were not read yet: those after p_wallet, whose chains moved after
-- checkpoint p_checkpoint; with no checkpoint (0) all that have entries. "after" is the last sequence read.
CREATE FUNCTION wallets_to_verify(p_checkpoint bigint, p_wallet uuid, p_limit integer)
RETURNS TABLE (wallet uuid, after bigint, until bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp
SET jit = off SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF p_checkpoint = 0 THEN
        RETURN QUERY SELECT w.id, 0::bigint, w.last_sequence FROM wallet_wallet w
        WHERE w.id > p_wallet ORDER BY w.id LIMIT p_limit;
    ELSE
        RETURN QUERY SELECT m.wallet_id, coalesce(h.sequence, 0), w.last_sequence
        FROM (SELECT c.wallet_id FROM transactions_checkpointhead c
              WHERE c.checkpoint_id > p_checkpoint AND c.wallet_id > p_wallet
              UNION
              SELECT e.wallet_id FROM transactions_ledgerentry e
              WHERE e.wallet_id > p_wallet
                AND e.id > (SELECT max(last_entry_id) FROM transactions_checkpoint)
              ORDER BY 1 LIMIT p_limit) m
        JOIN wallet_wallet w ON w.id = m.wallet_id
        LEFT JOIN LATERAL (SELECT c.sequence FROM transactions_checkpointhead c
                           WHERE c.wallet_id = m.wallet_id AND c.checkpoint_id <= p_checkpoint
                           ORDER BY c.sequence DESC LIMIT 1) h ON true
        ORDER BY 1;
    END IF;
END $$;

-- P4: the entries after one sequence and up to another, of several wallets, continue their chains and are
-- what their transactions say.
CREATE FUNCTION verify_entries(p_wallets uuid[], p_after bigint[], p_until bigint[])
RETURNS TABLE (relation text, subject text, invariant text, expected text, found text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
SET jit = off SET enable_seqscan = off SET work_mem = '64MB' AS $$
    WITH asked AS (
        SELECT * FROM unnest(p_wallets, p_after, p_until) AS a (wallet, after, until)
    ), chained AS MATERIALIZED (
        SELECT a.wallet, a.after, a.until, e.id, e.transaction_id, e.leg, e.sequence, e.amount,
               e.currency, e.balance_after, e.previous_hash, e.hash, e.created_at,
               w.currency AS wallet_currency, w.kind AS wallet_kind, w.overdraft_limit,
               t.id AS of_transaction, t.created_at AS moment,
               strpos(t.kind || t.currency || t.to_currency || t.idempotency_key || t.request_id, E'\n')
                   AS line_break,
               CASE t.hash_scheme
               WHEN 1 THEN sha256(e.previous_hash || ledger_leaf(
                   transaction_facts(
                       t.id, t.kind, t.amount, t.currency, t.from_wallet_id, t.to_wallet_id,
                       t.initiated_by_id, t.idempotency_key, t.fingerprint, t.description, t.metadata,
                       t.request_id, t.client_address, t.created_at),
                   e.leg, e.wallet_id, e.sequence, e.amount, e.balance_after))
               WHEN 2 THEN entry_hash(e.previous_hash, transaction_digest(
                   t.id, t.kind, t.amount, t.currency, t.fee, t.to_amount, t.to_currency,
                   t.from_wallet_id, t.to_wallet_id, t.parent_id, t.initiated_by_id, t.idempotency_key,
                   t.fingerprint, t.request_id, t.client_address, t.created_at, t.description,
                   t.metadata),
                   e.wallet_id, e.sequence, e.leg, e.amount, e.balance_after)
               END AS made_hash,
               lag(e.sequence, 1, a.after) OVER chain AS sequence_before,
               lag(e.balance_after, 1, 0::numeric) OVER chain AS balance_before,
               lag(e.hash, 1, '\x'::bytea) OVER chain AS hash_before,
               lag(e.created_at) OVER chain AS time_before
        FROM asked a
        JOIN wallet_wallet w ON w.id = a.wallet
        JOIN LATERAL (SELECT * FROM transactions_ledgerentry l
                      WHERE l.wallet_id = a.wallet AND l.sequence BETWEEN a.after AND a.until
                      ORDER BY l.sequence) e ON true
        LEFT JOIN LATERAL (SELECT * FROM transactions_transaction
                           WHERE id = e.transaction_id LIMIT 1) t ON true
        WINDOW chain AS (PARTITION BY a.wallet ORDER BY e.sequence)
    ), broken AS MATERIALIZED (
        SELECT * FROM chained
        WHERE sequence > after
          AND (of_transaction IS NULL
               OR sequence <> sequence_before + 1
               OR previous_hash <> hash_before
               OR balance_after <> balance_before + amount
               OR hash IS DISTINCT FROM made_hash
               OR created_at <> moment OR created_at < time_before
               OR currency <> wallet_currency
               OR line_break > 0
               OR amount = 0 OR NOT is_exact_money(amount, currency)
               OR (balance_after < 0 AND wallet_kind = 'user' AND overdraft_limit IS NULL))
    )
    (SELECT 'transactions_ledgerentry', b.id::text, f.invariant, f.expected, f.found
     FROM broken b
     CROSS JOIN LATERAL (
         SELECT v.* FROM (VALUES
             (1, 'I17 entry belongs to a transaction', b.transaction_id::text, b.of_transaction::text),
             (2, 'I17 sequences have no gap', (b.sequence_before + 1)::text, b.sequence::text),
             (3, 'I17 hash continues the entry before', encode(b.hash_before, 'hex'),
              encode(b.previous_hash, 'hex')),
             (4, 'I17 balance continues the entry before', (b.balance_before + b.amount)::text,
              b.balance_after::text),
             (5, 'I17 entry and transaction are what was hashed', encode(b.made_hash, 'hex'),
              encode(b.hash, 'hex')),
             (6, 'I17 entry has its transaction''s time', b.moment::text, b.created_at::text),
             (7, 'I30 time never goes back', greatest(b.time_before, b.created_at)::text,
              b.created_at::text),
             (8, 'I18 entry has its wallet''s currency', b.wallet_currency::text, b.currency::text),
             (9, 'I17 fields of a transaction are one line each', '0', b.line_break::text),
             (10, 'I19 amount is finite, exact and not zero', 'an exact amount',
              CASE WHEN b.amount <> 0 AND is_exact_money(b.amount, b.currency) THEN 'an exact amount'
              ELSE b.amount::text END),
             (11, 'I4 no entry leaves a user''s wallet below zero', '0 or more',
              CASE WHEN b.balance_after < 0 THEN b.balance_after::text ELSE '0 or more' END)
         ) AS v (place, invariant, expected, found)
         WHERE v.expected IS DISTINCT FROM v.found ORDER BY v.place LIMIT 1
     ) f
     ORDER BY b.wallet, b.sequence)
    UNION ALL
    (SELECT 'transactions_ledgerentry', format('wallet %s sequence %s', a.wallet, a.until),
            'I17 chain reaches its head', a.until::text, coalesce(l.newest, 0)::text
     FROM asked a
     LEFT JOIN (SELECT c.wallet, max(c.sequence) AS newest FROM chained c GROUP BY c.wallet) l
         ON l.wallet = a.wallet
     WHERE coalesce(l.newest, 0) <> a.until
     ORDER BY a.wallet)
$$;

-- P2, P3: wallets stand at their newest entries, hold what their open holds reserve, and have not gone back
-- behind what a checkpoint has seen.
CREATE FUNCTION verify_wallets(p_wallets uuid[])
RETURNS TABLE (relation text, subject text, invariant text, expected text, found text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
SET jit = off SET enable_seqscan = off AS $$
    SELECT CASE f.place WHEN 8 THEN 'transactions_ledgerentry' ELSE 'wallet_wallet' END,
           CASE f.place WHEN 8 THEN coalesce(s.id, format('wallet %s sequence %s', w.id, h.sequence))
           ELSE w.id::text END,
           f.invariant, f.expected, f.found
    FROM unnest(p_wallets) AS a (wallet)
    JOIN wallet_wallet w ON w.id = a.wallet
    LEFT JOIN LATERAL (SELECT * FROM transactions_ledgerentry
                       WHERE wallet_id = w.id ORDER BY sequence DESC LIMIT 1) e ON true
    LEFT JOIN LATERAL (SELECT * FROM transactions_checkpointhead
                       WHERE wallet_id = w.id ORDER BY sequence DESC LIMIT 1) h ON true
    LEFT JOIN LATERAL (SELECT id::text, hash FROM transactions_ledgerentry
                       WHERE wallet_id = w.id AND sequence = h.sequence LIMIT 1) s ON true
    CROSS JOIN LATERAL (
        SELECT v.* FROM (VALUES
            (1, 'P4 no chain is shorter than a checkpoint has seen',
             greatest(h.sequence, w.last_sequence)::text, w.last_sequence::text),
            (2, 'I3 wallet stands at its newest entry: sequence',
             coalesce(e.sequence, 0)::text, w.last_sequence::text),
            (3, 'I3 balance is the sum of the entries',
             coalesce(e.balance_after, 0)::text, CASE WHEN w.balance = coalesce(e.balance_after, 0)
                THEN coalesce(e.balance_after, 0) ELSE w.balance END::text),
            (4, 'I3 wallet stands at its newest entry: hash',
             encode(coalesce(e.hash, '\x'), 'hex'), encode(w.head_hash, 'hex')),
            (5, 'I3 held is what the open holds reserve',
             reserved_by_holds(w.id)::text, CASE WHEN w.held = reserved_by_holds(w.id)
                THEN reserved_by_holds(w.id) ELSE w.held END::text),
            (6, 'I4 available is never negative', 'true',
             (w.held >= 0 AND (w.kind <> 'user'
                 OR w.balance - w.held >= -coalesce(w.overdraft_limit, 0)))::text),
            (7, 'I28 wallet belongs to a user', 'true',
             (w.owner_id IS NULL OR EXISTS (SELECT FROM users_user u WHERE u.id = w.owner_id))::text),
            (8, format('P4 entry is the one that checkpoint %s has seen', h.checkpoint_id),
             encode(h.hash, 'hex'), encode(s.hash, 'hex'))
        ) AS v (place, invariant, expected, found)
        WHERE v.expected IS DISTINCT FROM v.found ORDER BY v.place LIMIT 1
    ) f
    ORDER BY w.id
$$;

-- P1, P7: transactions after one id and up to another have the entries, holds and parents they should.
CREATE FUNCTION verify_transactions(p_after uuid, p_until uuid)
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
                     AND (SELECT sum(r.amount) FROM transactions_transaction r
                          WHERE r.parent_id = t.parent_id AND r.status = 'posted'
                            AND r.kind IN ('reversal', 'refund'))
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

-- P7: holds after one id and up to another captured what their captures posted, and were ended on record.
CREATE FUNCTION verify_holds(p_after uuid, p_until uuid)
RETURNS TABLE (relation text, subject text, invariant text, expected text, found text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
SET jit = off SET enable_seqscan = off AS $$
    SELECT 'wallet_hold', h.id::text, f.invariant, f.expected, f.found
    FROM wallet_hold h
    LEFT JOIN LATERAL (SELECT status FROM transactions_transaction WHERE id = h.id LIMIT 1) t ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(k.amount) FILTER (WHERE k.status = 'posted'), 0) AS amount,
               coalesce(sum(k.fee) FILTER (WHERE k.status = 'posted'), 0) AS fee,
               count(*) FILTER (WHERE k.status = h.status) AS endings
        FROM transactions_transaction k
        WHERE k.parent_id = h.id AND k.kind NOT IN ('reversal', 'refund')
    ) c ON true
    CROSS JOIN LATERAL (
        SELECT v.* FROM (VALUES
            (1, 'P7 hold has its pending transaction', 'pending', coalesce(t.status, '')),
            (2, 'P7 captured is what the captures posted', format('%s + %s', c.amount, c.fee),
             CASE WHEN (c.amount, c.fee) = (h.captured_amount, h.captured_fee)
             THEN format('%s + %s', c.amount, c.fee)
             ELSE format('%s + %s', h.captured_amount, h.captured_fee) END),
            (3, 'P7 who ended a hold is on record', 'true',
             (h.status NOT IN ('voided', 'expired') OR c.endings > 0)::text)
        ) AS v (place, invariant, expected, found)
        WHERE v.expected IS DISTINCT FROM v.found ORDER BY v.place LIMIT 1
    ) f
    WHERE h.id > p_after AND h.id <= p_until
    ORDER BY h.id
$$;

-- P4: what a checkpoint has seen of the wallets after p_wallet still stands in their chains, and they are
-- still whose they were.
CREATE FUNCTION verify_heads(p_checkpoint bigint, p_wallet uuid, p_until uuid)
RETURNS TABLE (relation text, subject text, invariant text, expected text, found text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
SET jit = off SET enable_seqscan = off AS $$
    SELECT CASE WHEN e.hash = h.hash THEN 'wallet_wallet' ELSE 'transactions_ledgerentry' END,
           CASE WHEN e.hash = h.hash THEN h.wallet_id::text
                WHEN e.id IS NULL THEN format('wallet %s sequence %s', h.wallet_id, h.sequence)
                ELSE e.id::text END,
           format(CASE WHEN e.hash = h.hash
                  THEN 'P4 wallet is whose it was at checkpoint %s'
                  ELSE 'P4 entry is the one that checkpoint %s has seen' END, h.checkpoint_id),
           encode(CASE WHEN e.hash = h.hash THEN h.leaf ELSE h.hash END, 'hex'),
           CASE WHEN e.hash = h.hash THEN encode(l.leaf, 'hex')
                ELSE coalesce(encode(e.hash, 'hex'), 'missing') END
    FROM transactions_checkpointhead h
    LEFT JOIN LATERAL (SELECT * FROM transactions_ledgerentry
                       WHERE wallet_id = h.wallet_id AND sequence = h.sequence LIMIT 1) e ON true
    LEFT JOIN LATERAL (SELECT checkpoint_leaf(w.id, w.owner_id, w.kind, w.purpose, w.currency, h.sequence,
                                              e.balance_after, e.hash) AS leaf
                       FROM wallet_wallet w WHERE w.id = h.wallet_id LIMIT 1) l ON true
    WHERE h.checkpoint_id = p_checkpoint AND h.wallet_id > p_wallet AND h.wallet_id <= p_until
      AND (e.hash IS DISTINCT FROM h.hash OR l.leaf IS DISTINCT FROM h.leaf)
    ORDER BY h.wallet_id
$$;

-- I18: entries after one id and up to another belong to a wallet: the chains were read wallet by wallet.
CREATE FUNCTION verify_strays(p_after bigint, p_until bigint)
RETURNS TABLE (relation text, subject text, invariant text, expected text, found text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    SELECT 'transactions_ledgerentry', e.id::text, 'I18 entry belongs to a wallet',
           e.wallet_id::text, NULL
    FROM transactions_ledgerentry e
    WHERE e.id > p_after AND e.id <= p_until
      AND NOT EXISTS (SELECT FROM wallet_wallet w WHERE w.id = e.wallet_id)
    ORDER BY e.id
$$;

-- I2: the wallets of a currency add up to nothing, so that what users have is what the platform owes.
CREATE FUNCTION verify_totals()
RETURNS TABLE (relation text, subject text, invariant text, expected text, found text)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
    SELECT 'wallet_wallet', w.currency, 'I2 wallets sum to zero', '0', sum(w.balance)::text
    FROM wallet_wallet w GROUP BY w.currency HAVING sum(w.balance) <> 0 ORDER BY w.currency
$$;
