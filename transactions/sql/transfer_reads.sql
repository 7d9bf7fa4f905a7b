-- What a batch of transfers reads, one call each. Functions, because their plans are kept by the session.

-- The wallets that callers, addresses, verified numbers and ids stand for. Nobody is locked: a wallet
-- never changes its owner. Recipients are active users.
CREATE FUNCTION transfer_parties(
    callers uuid[], emails text[], phones text[], recipients uuid[]
) RETURNS TABLE (sought_by text, sought text, wallet uuid, currency text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT 'caller', w.user_id::text, w.id, w.currency::text
    FROM wallet_wallet w WHERE w.user_id = ANY (callers)
    UNION ALL
    SELECT 'email', u.email::text, w.id, w.currency::text
    FROM users_user u JOIN wallet_wallet w ON w.user_id = u.id
    WHERE u.email = ANY (emails) AND u.is_active
    UNION ALL
    SELECT 'phone', u.phone::text, w.id, w.currency::text
    FROM users_user u JOIN wallet_wallet w ON w.user_id = u.id
    WHERE u.phone = ANY (phones) AND u.phone_verified_at IS NOT NULL AND u.is_active
    UNION ALL
    SELECT 'wallet', w.id::text, w.id, w.currency::text
    FROM wallet_wallet w JOIN users_user u ON u.id = w.user_id
    WHERE w.id = ANY (recipients) AND u.is_active;
END $$;

-- What users may do, and the clock. Called after their wallets' locks were got: a statement of its own
-- sees what the locks' last holders left, which the locking statement may not.
CREATE FUNCTION user_standings(users uuid[])
RETURNS TABLE (id uuid, email text, is_active boolean, tier integer, read_at timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    now_at CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    SELECT u.id, u.email::text, u.is_active,
           CASE WHEN u.kyc_expires_at <= now_at THEN 0 ELSE u.kyc_tier::integer END, now_at
    FROM users_user u WHERE u.id = ANY (users);
END $$;

-- The transactions that own these (caller, key) pairs; a null caller is the platform. Its plan is the same
-- for any keys, and making it takes four times as long as running it.
CREATE FUNCTION transactions_of_keys(callers uuid[], keys text[]) RETURNS TABLE (id uuid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT t.id
    FROM unnest(callers, keys) AS k (caller, key)
    JOIN transactions_transaction t ON t.initiated_by_id = k.caller AND t.idempotency_key = k.key
    UNION ALL
    SELECT t.id
    FROM unnest(callers, keys) AS k (caller, key)
    JOIN transactions_transaction t ON t.initiated_by_id IS NULL AND t.idempotency_key = k.key
    WHERE k.caller IS NULL;
END $$;
