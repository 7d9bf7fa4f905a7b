-- The user of an access token while the account is active and the sign-in session lives: read with every
-- request, so one call on two primary keys.
CREATE FUNCTION live_user(asked_user uuid, asked_session uuid, asked_version bigint)
RETURNS TABLE (
    id uuid, email text, email_verified_at timestamptz, phone text, phone_verified_at timestamptz,
    first_name text, last_name text, is_active boolean, is_staff boolean, is_superuser boolean,
    token_version integer, kyc_status text, kyc_tier integer, kyc_reason text,
    kyc_expires_at timestamptz, created_at timestamptz
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT u.id, u.email::text, u.email_verified_at, u.phone::text, u.phone_verified_at,
           u.first_name::text, u.last_name::text, u.is_active, u.is_staff, u.is_superuser,
           u.token_version::integer, u.kyc_status::text, u.kyc_tier::integer, u.kyc_reason::text,
           u.kyc_expires_at, u.created_at
    FROM users_user u JOIN users_loginsession s ON s.user_id = u.id
    WHERE u.id = asked_user AND u.is_active AND u.token_version = asked_version
      AND s.id = asked_session AND s.revoked_at IS NULL;
END $$;
