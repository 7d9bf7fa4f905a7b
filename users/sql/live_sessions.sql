-- What live_user() asks of one request, for requests that are served together: the places, from 1, of those
-- whose account is active, whose sign-in session lives, and whose attempts of one scope are not used up.
CREATE FUNCTION live_sessions(
    asked_users uuid[], asked_sessions uuid[], asked_versions bigint[], asked_subjects text[],
    attempts_scope text, attempts_limit integer, attempts_seconds double precision
) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp
-- By index, however few users there were when the plan was made.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT asked.place
    FROM unnest(asked_users, asked_sessions, asked_versions, asked_subjects)
         WITH ORDINALITY AS asked (user_id, session_id, version, subject, place)
    JOIN users_user u ON u.id = asked.user_id
    JOIN users_loginsession s ON s.id = asked.session_id AND s.user_id = asked.user_id
    WHERE u.is_active AND u.token_version = asked.version AND s.revoked_at IS NULL
      AND NOT EXISTS (SELECT FROM users_attemptcounter c
                      WHERE c.scope = attempts_scope AND c.subject = asked.subject
                        AND c.count >= attempts_limit
                        AND c.window_start > now() - attempts_seconds * interval '1 second');
END $$;
