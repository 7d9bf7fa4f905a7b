-- The ledger: how it is written (post_ledger), and what is refused to everybody, the owner and psql
-- included. A posting is one statement, so every rule can be checked when that statement ends: no rule
-- is deferred to the commit, and none is checked row by row. Bodies are bound to the schema (search_path,
-- or parsed when defined), so that no temporary table can stand in for a real one. Tables are reached by
-- their indexes: the planner guesses that JSON and transition tables have many rows, and would rather read
-- all wallets than look up two (enable_seqscan).

-- Exactness -----------------------------------------------------------------------------------------

-- Decimal places by ISO 4217; fintech_core.money holds the same list.
CREATE FUNCTION currency_places(currency text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX',
                          'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') THEN 0
        WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
        WHEN currency IN ('CLF', 'UYW') THEN 4
        ELSE 2
    END;

-- Finite, under the cap, written with exactly the currency's places. NaN is greater than any number.
CREATE FUNCTION is_exact_money(amount numeric, currency text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN abs(amount) < 1e15 AND scale(amount) = currency_places(currency)
        AND currency ~ '^[A-Z]{3}$';

ALTER TABLE transactions_ledgerentry
    ADD CONSTRAINT entry_amount_is_exact CHECK (
        amount <> 0 AND is_exact_money(amount, currency) AND is_exact_money(balance_after, currency)
    ),
    ADD CONSTRAINT entry_numbers_start_at_one CHECK (sequence >= 1 AND leg >= 1);
ALTER TABLE transactions_transaction
    ADD CONSTRAINT transaction_amount_is_exact CHECK (amount > 0 AND is_exact_money(amount, currency)),
    ADD CONSTRAINT idempotency_key_is_printable CHECK (idempotency_key ~ '^[!-~]{1,255}$'),
    ADD CONSTRAINT fingerprint_is_sha256 CHECK (length(fingerprint) = 32),
    ADD CONSTRAINT transaction_time_is_finite CHECK (isfinite(created_at));
ALTER TABLE wallet_wallet
    ADD CONSTRAINT wallet_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    ADD CONSTRAINT wallet_amounts_are_exact CHECK (
        abs(balance) < 1e15 AND scale(balance) <= currency_places(currency)
        AND held < 1e15 AND scale(held) <= currency_places(currency)
    ),
    ADD CONSTRAINT spending_adds_up CHECK (
        0 <= spent_in_day AND spent_in_day <= spent_in_month AND spent_in_month < 1e15
        AND scale(spent_in_day) <= currency_places(currency)
        AND scale(spent_in_month) <= currency_places(currency)
    );

-- Tamper evidence -----------------------------------------------------------------------------------

-- What an entry's hash covers besides the hash before it: all of its transaction that says what it was,
-- and the entry. JSON arrays, because their text is unambiguous and depends on no session setting. Plain
-- arguments and no row type, so that the tables can grow. STABLE, as what they call is: so they are inlined.
CREATE FUNCTION transaction_facts(
    id uuid, kind text, amount numeric, currency text, from_wallet uuid, to_wallet uuid,
    initiated_by uuid, idempotency_key text, fingerprint bytea, description text, metadata jsonb,
    request_id text, client_address inet, created_at timestamptz
) RETURNS jsonb
LANGUAGE sql STABLE
    RETURN jsonb_build_array(
        id, kind, amount, currency, from_wallet, to_wallet, initiated_by, idempotency_key,
        encode(fingerprint, 'hex'), description, metadata, request_id, host(client_address),
        extract(epoch FROM created_at)
    );

CREATE FUNCTION ledger_leaf(
    facts jsonb, leg integer, wallet uuid, sequence bigint, amount numeric, balance_after numeric
) RETURNS bytea
LANGUAGE sql STABLE
    RETURN convert_to(
        jsonb_build_array(facts, leg, wallet, sequence, amount, balance_after)::text, 'UTF8'
    );

CREATE FUNCTION ledger_chain_step(state bytea, head bytea, leaf bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256(coalesce(state, head) || leaf);
END $$;

-- Over the entries of one wallet in order: the hash of each, given the wallet's head before them.
CREATE AGGREGATE ledger_chain(head bytea, leaf bytea) (
    SFUNC = ledger_chain_step, STYPE = bytea
);

CREATE FUNCTION ledger_refuse(fact text, detail text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', detail USING ERRCODE = 'check_violation', CONSTRAINT = fact;
END $$;

-- Writing -------------------------------------------------------------------------------------------

-- Write N decided transactions and their legs, and move the wallets, in one statement.
--   p_transactions  rows of transactions_transaction, as JSON
--   p_legs          {transaction, wallet, amount} in order; the legs of one transaction stand together
--   p_spending      {wallet, spent_on, spent_in_day, spent_in_month} of wallets whose limits counted it
-- The caller holds the locks of all wallets named. Returns each leg's new balance. Runs with its owner's
-- rights, since the application's role may not write these tables itself; nobody else may call it.
CREATE FUNCTION post_ledger(p_transactions jsonb, p_legs jsonb, p_spending jsonb)
RETURNS TABLE (posted_transaction uuid, posted_wallet uuid, posted_balance numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    written bigint;
    -- As an array they are found by the primary key whatever the planner believes about table sizes.
    wallets CONSTANT uuid[] := ARRAY(
        SELECT DISTINCT l.wallet FROM jsonb_to_recordset(p_legs) AS l (wallet uuid)
    );
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT t.*,
               transaction_facts(
                   t.id, t.kind, t.amount, t.currency, t.from_wallet_id, t.to_wallet_id,
                   t.initiated_by_id, t.idempotency_key, t.fingerprint, t.description,
                   t.metadata, t.request_id, t.client_address, t.created_at) AS facts
        FROM jsonb_populate_recordset(NULL::transactions_transaction, p_transactions) AS t
    ), legs AS MATERIALIZED (
        SELECT l.transaction, l.wallet, l.amount, l.position, w.currency, w.head_hash,
               row_number() OVER (PARTITION BY l.transaction ORDER BY l.position) AS leg,
               w.last_sequence + row_number() OVER chain AS sequence,
               w.balance + sum(l.amount) OVER chain AS balance_after
        FROM ROWS FROM (jsonb_to_recordset(p_legs) AS (transaction uuid, wallet uuid, amount numeric))
             WITH ORDINALITY AS l (transaction, wallet, amount, position)
        JOIN wallet_wallet w ON w.id = l.wallet AND w.id = ANY (wallets)
        WINDOW chain AS (PARTITION BY l.wallet ORDER BY l.position)
    ), hashed AS MATERIALIZED (
        SELECT l.*, a.created_at,
               ledger_chain(l.head_hash, ledger_leaf(
                   a.facts, l.leg::integer, l.wallet, l.sequence, l.amount, l.balance_after
               )) OVER (PARTITION BY l.wallet ORDER BY l.position) AS hash
        FROM legs l
        JOIN asked a ON a.id = l.transaction
    ), written_transactions AS (
        INSERT INTO transactions_transaction (
            id, kind, status, amount, currency, from_wallet_id, to_wallet_id, initiated_by_id,
            idempotency_key, fingerprint, description, metadata, decline_code, decline_facts,
            request_id, client_address, created_at
        )
        SELECT id, kind, status, amount, currency, from_wallet_id, to_wallet_id, initiated_by_id,
               idempotency_key, fingerprint, description, metadata, decline_code, decline_facts,
               request_id, client_address, created_at
        FROM asked
    ), written_entries AS (
        INSERT INTO transactions_ledgerentry (
            transaction_id, leg, wallet_id, sequence, amount, currency, balance_after,
            previous_hash, hash, created_at
        )
        SELECT transaction, leg, wallet, sequence, amount, currency, balance_after,
               coalesce(lag(hash) OVER (PARTITION BY wallet ORDER BY position), head_hash),
               hash, created_at
        FROM hashed
    ), moved_wallets AS (
        UPDATE wallet_wallet w
        SET balance = last.balance_after, last_sequence = last.sequence, head_hash = last.hash,
            last_entry_at = last.created_at,
            spent_on = coalesce(s.spent_on, w.spent_on),
            spent_in_day = coalesce(s.spent_in_day, w.spent_in_day),
            spent_in_month = coalesce(s.spent_in_month, w.spent_in_month)
        FROM (SELECT DISTINCT ON (wallet) wallet, balance_after, sequence, hash, created_at
              FROM hashed ORDER BY wallet, position DESC) AS last
        LEFT JOIN jsonb_to_recordset(p_spending) AS s (
            wallet uuid, spent_on date, spent_in_day numeric, spent_in_month numeric
        ) ON s.wallet = last.wallet
        WHERE w.id = last.wallet AND w.id = ANY (wallets)
    )
    SELECT transaction, wallet, balance_after FROM hashed ORDER BY position;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> jsonb_array_length(p_legs) THEN
        PERFORM ledger_refuse('leg_has_its_transaction_and_wallet',
            'a leg names a transaction of this posting and a wallet');
    END IF;
END $$;

-- A function is open to everybody unless this is said; the application's role is granted it by name.
REVOKE ALL ON FUNCTION post_ledger(jsonb, jsonb, jsonb) FROM PUBLIC;

-- Refusals ------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_is_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_is_append_only';
END $$;

-- After entries were inserted: they make whole transactions that sum to zero, continue the chains of
-- their wallets, and the wallets have moved with them.
CREATE FUNCTION entries_are_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
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
    IF EXISTS (SELECT FROM new_entries e
               LEFT JOIN transactions_transaction t ON t.id = e.transaction_id
               LEFT JOIN transactions_ledgerentry p
                   ON p.wallet_id = e.wallet_id AND p.sequence = e.sequence - 1
               WHERE t.status IS DISTINCT FROM 'posted'
                  OR e.created_at <> t.created_at OR e.created_at < p.created_at
                  OR (p.id IS NULL AND e.sequence <> 1)
                  OR e.balance_after <> coalesce(p.balance_after, 0) + e.amount
                  OR e.previous_hash <> coalesce(p.hash, '\x'::bytea)
                  OR e.hash <> sha256(e.previous_hash || ledger_leaf(
                         transaction_facts(
                             t.id, t.kind, t.amount, t.currency, t.from_wallet_id, t.to_wallet_id,
                             t.initiated_by_id, t.idempotency_key, t.fingerprint, t.description,
                             t.metadata, t.request_id, t.client_address, t.created_at),
                         e.leg, e.wallet_id, e.sequence, e.amount, e.balance_after))) THEN
        PERFORM ledger_refuse('entry_continues_the_chain',
            'an entry belongs to a posted transaction and continues its wallet''s chain');
    END IF;
    -- A clock that was wrong and was set back must not stop money: then a wallet's last moment is the latest.
    IF EXISTS (SELECT FROM new_entries e
               LEFT JOIN transactions_ledgerentry p
                   ON p.wallet_id = e.wallet_id AND p.sequence = e.sequence - 1
               WHERE e.created_at > clock_timestamp() + interval '1 minute'
               GROUP BY e.transaction_id, e.created_at
               HAVING e.created_at IS DISTINCT FROM max(p.created_at)) THEN
        PERFORM ledger_refuse('entry_is_not_ahead_of_time',
            'no entry is dated ahead of the clock, nor of its wallet''s last');
    END IF;
    IF EXISTS (SELECT FROM new_entries e
               LEFT JOIN wallet_wallet w ON w.id = e.wallet_id
               WHERE w.currency IS DISTINCT FROM e.currency
                  OR e.sequence > w.last_sequence
                  OR (e.sequence = w.last_sequence
                      AND (e.balance_after <> w.balance OR e.hash <> w.head_hash))) THEN
        PERFORM ledger_refuse('wallet_moves_with_its_entries',
            'an entry has its wallet''s currency and moves the wallet in the same statement');
    END IF;
    IF EXISTS (SELECT FROM new_entries e
               JOIN wallet_wallet w ON w.id = e.wallet_id
               WHERE e.balance_after < 0 AND w.kind = 'user') THEN
        PERFORM ledger_refuse('available_is_never_negative',
            'no entry leaves a user''s wallet below zero, not even for a moment');
    END IF;
    RETURN NULL;
END $$;

-- After transactions were inserted: a posted one tells what its entries did. The first takes its amount
-- (and what else the transaction costs) out of its source, the second brings the amount to its target, and
-- any others are the platform's; all are in its currency.
CREATE FUNCTION transactions_are_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM new_transactions t
               LEFT JOIN transactions_ledgerentry d ON d.transaction_id = t.id AND d.leg = 1
               LEFT JOIN transactions_ledgerentry c ON c.transaction_id = t.id AND c.leg = 2
               WHERE t.status = 'posted'
                 AND ((d.wallet_id, d.currency, c.wallet_id, c.currency, c.amount)
                      IS DISTINCT FROM
                      (t.from_wallet_id, t.currency, t.to_wallet_id, t.currency, t.amount)
                      OR d.amount > -t.amount))
       OR EXISTS (SELECT FROM new_transactions t
                  JOIN transactions_ledgerentry e ON e.transaction_id = t.id AND e.leg > 2
                  JOIN wallet_wallet w ON w.id = e.wallet_id
                  WHERE w.kind = 'user' OR e.currency <> t.currency) THEN
        PERFORM ledger_refuse('transaction_tells_its_entries',
            'a posted transaction takes its amount from its source, brings it to its target, and'
            ' touches nobody else''s wallet');
    END IF;
    RETURN NULL;
END $$;

-- After wallets were inserted: they are empty.
CREATE FUNCTION wallets_start_empty() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM new_wallets
               WHERE balance <> 0 OR held <> 0 OR last_sequence <> 0 OR head_hash <> '\x'::bytea
                  OR spent_in_day <> 0 OR spent_in_month <> 0) THEN
        PERFORM ledger_refuse('wallet_starts_empty', 'a new wallet is empty');
    END IF;
    RETURN NULL;
END $$;

-- After wallets were updated: each stands at the entry its sequence names, or is empty.
CREATE FUNCTION wallets_follow_the_ledger() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM new_wallets w
               LEFT JOIN transactions_ledgerentry e
                   ON e.wallet_id = w.id AND e.sequence = w.last_sequence
               WHERE (w.balance, w.head_hash)
                     IS DISTINCT FROM (coalesce(e.balance_after, 0), coalesce(e.hash, '\x'::bytea))
                  OR (e.id IS NULL AND w.last_sequence <> 0)) THEN
        PERFORM ledger_refuse('balance_follows_the_entries',
            'a balance is what the entries add up to; it is never assigned');
    END IF;
    RETURN NULL;
END $$;

-- Refuses what a trigger's WHEN has found; the trigger's name is the fact, its argument the reason.
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;

CREATE FUNCTION wallets_are_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: wallets are closed, never removed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'wallets_are_kept';
END $$;

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER wallets_are_kept BEFORE DELETE OR TRUNCATE ON wallet_wallet
    FOR EACH STATEMENT EXECUTE FUNCTION wallets_are_kept();
CREATE TRIGGER entries_are_whole AFTER INSERT ON transactions_ledgerentry
    REFERENCING NEW TABLE AS new_entries
    FOR EACH STATEMENT EXECUTE FUNCTION entries_are_whole();
CREATE TRIGGER transactions_are_whole AFTER INSERT ON transactions_transaction
    REFERENCING NEW TABLE AS new_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION transactions_are_whole();
CREATE TRIGGER wallets_start_empty AFTER INSERT ON wallet_wallet
    REFERENCING NEW TABLE AS new_wallets
    FOR EACH STATEMENT EXECUTE FUNCTION wallets_start_empty();
CREATE TRIGGER wallets_follow_the_ledger AFTER UPDATE ON wallet_wallet
    REFERENCING NEW TABLE AS new_wallets
    FOR EACH STATEMENT EXECUTE FUNCTION wallets_follow_the_ledger();
-- What a row alone can tell costs nothing where it holds: the function runs only to refuse.
CREATE TRIGGER wallet_identity_is_fixed BEFORE UPDATE ON wallet_wallet
    FOR EACH ROW WHEN (
        (NEW.id, NEW.user_id, NEW.kind, NEW.purpose, NEW.currency, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.kind, OLD.purpose, OLD.currency, OLD.created_at)
    ) EXECUTE FUNCTION refuse_change('the id, owner, kind, purpose and currency of a wallet never change');
CREATE TRIGGER sequence_never_goes_back BEFORE UPDATE ON wallet_wallet
    FOR EACH ROW WHEN (NEW.last_sequence < OLD.last_sequence)
    EXECUTE FUNCTION refuse_change('a wallet never goes back to an older entry');
CREATE TRIGGER held_follows_the_holds BEFORE UPDATE ON wallet_wallet
    FOR EACH ROW WHEN (NEW.held <> OLD.held)
    EXECUTE FUNCTION refuse_change('what is held is what the open holds add up to; it is never assigned');
CREATE TRIGGER spending_window_follows_the_clock BEFORE UPDATE ON wallet_wallet
    FOR EACH ROW WHEN (
        NEW.spent_on < OLD.spent_on OR (
            NEW.spent_on > OLD.spent_on
            AND NEW.spent_on > (clock_timestamp() AT TIME ZONE 'UTC')::date + 1
        )
    ) EXECUTE FUNCTION refuse_change('a spending window never goes back, nor ahead of the clock');

-- Also under session_replication_role = replica.
ALTER TABLE transactions_ledgerentry ENABLE ALWAYS TRIGGER ledger_is_append_only;
ALTER TABLE transactions_ledgerentry ENABLE ALWAYS TRIGGER entries_are_whole;
ALTER TABLE transactions_transaction ENABLE ALWAYS TRIGGER ledger_is_append_only;
ALTER TABLE transactions_transaction ENABLE ALWAYS TRIGGER transactions_are_whole;
ALTER TABLE wallet_wallet ENABLE ALWAYS TRIGGER wallets_are_kept;
ALTER TABLE wallet_wallet ENABLE ALWAYS TRIGGER wallets_start_empty;
ALTER TABLE wallet_wallet ENABLE ALWAYS TRIGGER wallets_follow_the_ledger;
ALTER TABLE wallet_wallet ENABLE ALWAYS TRIGGER wallet_identity_is_fixed;
ALTER TABLE wallet_wallet ENABLE ALWAYS TRIGGER sequence_never_goes_back;
ALTER TABLE wallet_wallet ENABLE ALWAYS TRIGGER held_follows_the_holds;
ALTER TABLE wallet_wallet ENABLE ALWAYS TRIGGER spending_window_follows_the_clock;
