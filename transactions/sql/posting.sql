-- How the ledger is written from here on: whoever posts has computed sequences, balances and hashes under
-- the wallets' locks (transactions/ledger.py); post_ledger() writes them in one statement, and the triggers
-- of ledger_rules.sql refuse whatever does not follow from what stood before.

DROP FUNCTION post_ledger(jsonb, jsonb, jsonb);
DROP FUNCTION transfer_parties(uuid[], text[], text[], uuid[]);
DROP FUNCTION user_standings(uuid[]);
DROP FUNCTION transactions_of_keys(uuid[], text[]);
DROP AGGREGATE ledger_chain(bytea, bytea);
DROP FUNCTION ledger_chain_step(bytea, bytea, bytea);

-- A wallet is written with each of its entries: with room on its page that touches none of its indexes (HOT).
ALTER TABLE wallet_wallet SET (fillfactor = 50);

-- Tamper evidence, hash scheme 2. Scheme 1 (transaction_facts, ledger_leaf) is kept for what was posted by
-- it; transactions/hashing.py makes the same bytes.

-- All of a transaction that says what it was. One field a line; the two that may hold line breaks come last,
-- the first of them after its length in bytes, so that no two transactions make the same text.
CREATE FUNCTION transaction_digest(
    id uuid, kind text, amount numeric, currency text, fee numeric, to_amount numeric, to_currency text,
    from_wallet uuid, to_wallet uuid, parent uuid, initiated_by uuid, idempotency_key text,
    fingerprint bytea, request_id text, client_address inet, created_at timestamptz, description text,
    metadata jsonb
) RETURNS bytea
LANGUAGE sql STABLE
    RETURN sha256(convert_to(concat_ws(E'\n',
        id, kind, amount, currency, fee, coalesce(to_amount::text, ''), to_currency, from_wallet, to_wallet,
        coalesce(parent::text, ''), coalesce(initiated_by::text, ''), idempotency_key,
        encode(fingerprint, 'hex'), request_id,
        coalesce(encode(substr(inet_send(client_address), 5), 'hex'), ''),
        (extract(epoch FROM created_at) * 1000000)::bigint,
        octet_length(description), description, metadata
    ), 'UTF8'));

CREATE FUNCTION entry_hash(
    previous bytea, digest bytea, wallet uuid, sequence bigint, leg integer, amount numeric,
    balance_after numeric
) RETURNS bytea
LANGUAGE sql STABLE
    RETURN sha256(
        previous || digest || uuid_send(wallet) || int8send(sequence) || int2send(leg::smallint)
        || convert_to(amount || ' ' || balance_after, 'UTF8')
    );

-- An entry as it is handed over. A row type's text is read four times as fast as a JSON object, and there are
-- two or more for each transaction; hashes are in hex, and the first entry of a wallet has none before it.
CREATE TYPE posted_entry AS (
    t uuid, leg smallint, w uuid, sequence bigint, amount numeric, currency text, balance_after numeric,
    previous_hash text, hash text, at timestamptz
);

-- A wallet as it is afterwards; what was spent is null where that is counted elsewhere.
CREATE TYPE posted_wallet AS (
    id uuid, balance numeric, held numeric, last_sequence bigint, head_hash text,
    last_entry_at timestamptz, spent_on date, spent_in_day numeric, spent_in_month numeric
);

-- Write decided transactions, their entries and what became of wallets and holds, in one statement.
--   p_transactions  rows of transactions_transaction; an absent member is that column's empty value
--   p_entries       rows of transactions_ledgerentry, without ids; those of a wallet in its order
--   p_wallets       what the wallets are afterwards
--   p_holds         holds that were opened, captured or ended, as they are afterwards
-- The caller holds the locks of all wallets named. Runs with its owner's rights, since the application's
-- role may not write these tables itself; nobody else may call it. SQLSTATE 55000 while postings are halted.
CREATE FUNCTION post_ledger(
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

-- A function is open to everybody unless this is said; the application's role is granted it by name.
REVOKE ALL ON FUNCTION post_ledger(json, posted_entry[], posted_wallet[], json) FROM PUBLIC;
