-- Rows come in binary (fintech_core/binary.py): hashes are bytes in them, and numbers and addresses are texts,
-- which are read here.
ALTER TYPE posted_transaction
    ALTER ATTRIBUTE amount TYPE text,
    ALTER ATTRIBUTE fee TYPE text,
    ALTER ATTRIBUTE to_amount TYPE text,
    ALTER ATTRIBUTE client_address TYPE text;
ALTER TYPE posted_entry
    ALTER ATTRIBUTE amount TYPE text,
    ALTER ATTRIBUTE balance_after TYPE text,
    ALTER ATTRIBUTE previous_hash TYPE bytea,
    ALTER ATTRIBUTE hash TYPE bytea;
ALTER TYPE posted_wallet
    ALTER ATTRIBUTE balance TYPE text,
    ALTER ATTRIBUTE held TYPE text,
    ALTER ATTRIBUTE head_hash TYPE bytea,
    ALTER ATTRIBUTE spent_in_day TYPE text,
    ALTER ATTRIBUTE spent_in_month TYPE text;

-- Write decided transactions, their announcements and entries, and what became of wallets and holds, in one
-- statement; see rows.sql and posting.sql.
CREATE OR REPLACE FUNCTION post_ledger(
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
        SELECT id, kind, status, amount::numeric, currency, fee::numeric, to_amount::numeric,
               coalesce(to_currency, ''),
               from_wallet_id, to_wallet_id, parent_id, initiated_by_id, idempotency_key,
               fingerprint, coalesce(description, ''), coalesce(metadata, '{}'),
               coalesce(decline_code, ''), facts,
               coalesce(request_id, ''), client_address::inet, created_at
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
        SELECT t, leg, w, sequence, amount::numeric, currency, balance_after::numeric,
               previous_hash, hash, at
        FROM unnest(p_entries)
    ), moved_wallets AS (
        UPDATE wallet_wallet w
        SET balance = r.balance::numeric, held = r.held::numeric, last_sequence = r.last_sequence,
            head_hash = r.head_hash, last_entry_at = r.last_entry_at,
            spent_on = coalesce(r.spent_on, w.spent_on),
            spent_in_day = coalesce(r.spent_in_day::numeric, w.spent_in_day),
            spent_in_month = coalesce(r.spent_in_month::numeric, w.spent_in_month)
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

-- These run inside of post_ledger(), which has set the same, and have no arguments to plan by: each setting of a
-- function takes a microsecond or two to come and to go.
ALTER FUNCTION entries_are_whole()
    RESET enable_seqscan RESET enable_hashjoin RESET enable_mergejoin RESET plan_cache_mode RESET jit;
ALTER FUNCTION transactions_are_whole()
    RESET enable_seqscan RESET enable_hashjoin RESET enable_mergejoin RESET plan_cache_mode RESET jit;
ALTER FUNCTION wallets_follow_the_ledger() RESET plan_cache_mode;
