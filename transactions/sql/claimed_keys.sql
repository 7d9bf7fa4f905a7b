-- As before, and it tells which of the keys are claimed: used by their caller for a request that made no
-- transaction (ClaimedKey). Who claims one has all wallets of the caller locked, whoever moves money by one of the
-- caller's keys has one of them locked: so what is read after the locks is the truth.
--
-- Find, lock and read all that a batch decides by, in one round trip. VOLATILE, so that each statement in it
-- sees what was committed until then: what is read after the locks were got is what their last holders left.
--   p_asked  {primaries: [user], emails: [text], phones: [text], wallets: [wallet], users: [user],
--             keys: [[user, key]], platform_keys: [key], holds: [hold], patience: ms}; any may be absent
-- Wallets are those named, the primary ones of the users named by id, address or verified number, and those
-- where their owners' limits are counted. They are locked in the order of their ids, as everywhere
-- (wallet/locks.py). Amounts are text: a JSON number would be read as a float. Wallets and users, of which
-- there are many, are lines with commas between, which cost a third of JSON; the address comes last.
CREATE OR REPLACE FUNCTION open_accounts(p_asked json) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    wanted uuid[] := ARRAY(SELECT json_array_elements_text(p_asked -> 'wallets')::uuid);
    people uuid[] := ARRAY(SELECT json_array_elements_text(p_asked -> 'primaries')::uuid);
    found_wallets text;
    found_users text;
    found_pots json;
    found_keys json;
    found_claims json;
    found_holds json;
    read_at timestamptz;
BEGIN
    IF p_asked -> 'patience' IS NOT NULL THEN
        PERFORM set_config('lock_timeout', p_asked ->> 'patience', true);
    END IF;
    IF p_asked -> 'emails' IS NOT NULL THEN
        people := people || ARRAY(SELECT u.id FROM users_user u WHERE u.email = ANY (
            ARRAY(SELECT json_array_elements_text(p_asked -> 'emails'))));
    END IF;
    IF p_asked -> 'phones' IS NOT NULL THEN
        people := people || ARRAY(SELECT u.id FROM users_user u WHERE u.phone = ANY (
            ARRAY(SELECT json_array_elements_text(p_asked -> 'phones')))
            AND u.phone_verified_at IS NOT NULL);
    END IF;
    IF cardinality(people) > 0 THEN
        wanted := wanted || ARRAY(SELECT w.id FROM wallet_wallet w WHERE w.user_id = ANY (people));
    END IF;
    wanted := wanted || ARRAY(SELECT coalesce(w.limits_wallet_id, w.id) FROM wallet_wallet w
                              WHERE w.id = ANY (wanted));

    SELECT string_agg(concat_ws(',',
        w.id, coalesce(w.owner_id::text, ''), (w.user_id IS NOT NULL)::integer,
        coalesce(w.limits_wallet_id::text, ''), w.kind, w.currency, w.status, w.balance, w.held,
        coalesce(w.overdraft_limit, 0), w.last_sequence, encode(w.head_hash, 'hex'),
        coalesce(w.last_entry_at::text, ''), w.spent_on, w.spent_in_day, w.spent_in_month
    ), E'\n'), coalesce(array_agg(w.owner_id), '{}')
    INTO found_wallets, people
    FROM (SELECT * FROM wallet_wallet l WHERE l.id = ANY (wanted) ORDER BY l.id FOR NO KEY UPDATE) AS w;

    IF p_asked -> 'users' IS NOT NULL THEN
        people := people || ARRAY(SELECT json_array_elements_text(p_asked -> 'users')::uuid);
    END IF;
    read_at := clock_timestamp();
    SELECT string_agg(concat_ws(',',
        u.id, u.is_active::integer, CASE WHEN u.kyc_expires_at <= read_at THEN 0 ELSE u.kyc_tier END,
        CASE WHEN u.phone_verified_at IS NOT NULL THEN u.phone ELSE '' END, u.email
    ), E'\n')
    INTO found_users
    FROM users_user u WHERE u.id = ANY (people);

    SELECT json_agg(json_build_array(p.first, p.total)) INTO found_pots
    FROM (SELECT w.limits_wallet_id AS first, sum(w.balance)::text AS total
          FROM wallet_wallet w WHERE w.limits_wallet_id = ANY (wanted)
          GROUP BY w.limits_wallet_id) AS p;

    IF p_asked -> 'keys' IS NOT NULL THEN
        SELECT json_agg(t.id) INTO found_keys
        FROM json_array_elements(p_asked -> 'keys') AS k (pair)
        JOIN LATERAL (SELECT id FROM transactions_transaction
                      WHERE initiated_by_id = (k.pair ->> 0)::uuid AND idempotency_key = k.pair ->> 1
                      LIMIT 1) t ON true;
        SELECT json_agg(k.pair) INTO found_claims
        FROM json_array_elements(p_asked -> 'keys') AS k (pair)
        JOIN LATERAL (SELECT FROM transactions_claimedkey
                      WHERE caller_id = (k.pair ->> 0)::uuid AND idempotency_key = k.pair ->> 1
                      LIMIT 1) c ON true;
    END IF;
    IF p_asked -> 'platform_keys' IS NOT NULL THEN
        SELECT json_agg(t.id) INTO found_keys
        FROM json_array_elements_text(p_asked -> 'platform_keys') AS k (key)
        JOIN LATERAL (SELECT id FROM transactions_transaction
                      WHERE initiated_by_id IS NULL AND idempotency_key = k.key LIMIT 1) t ON true;
    END IF;

    -- Holds: those asked for, and those of the wallets that have run out and are not yet ended.
    SELECT json_agg(json_build_array(
        h.id, h.wallet_id, t.to_wallet_id, t.kind, h.status, h.amount::text, h.fee::text, h.currency,
        h.captured_amount::text, h.captured_fee::text, h.expires_at, h.created_at, h.closed_at))
    INTO found_holds
    FROM wallet_hold h JOIN transactions_transaction t ON t.id = h.id
    WHERE h.id = ANY (
        ARRAY(SELECT o.id FROM unnest(wanted) AS w (id)
              JOIN LATERAL (SELECT l.id FROM wallet_hold l
                            WHERE l.wallet_id = w.id AND l.status = 'open' AND l.expires_at <= read_at
                            ORDER BY l.wallet_id, l.expires_at) o ON true)
        || ARRAY(SELECT json_array_elements_text(p_asked -> 'holds')::uuid));

    RETURN json_build_object(
        'wallets', found_wallets, 'users', found_users, 'pots', found_pots, 'keys', found_keys,
        'claims', found_claims,
        'holds', found_holds, 'read_at', read_at)::text;
END $$;
