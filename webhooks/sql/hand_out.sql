-- Which deliveries are to be sent now: of each endpoint whose look is due the oldest due ones, as many as its
-- receiver may have at once beside those under way; only one while it has yet to answer well, or fails. They
-- are leased: due again when the lease ends, should nobody have told by then what came of them.
--
-- Each endpoint's next look is set: when its next delivery is due, or where it has all that it may have at
-- once, when one of them is done (whoever records that says so) or the lease ends. Endpoints that another
-- transaction works on are passed over, and those in trouble, or the others, while their queue has no room.
-- However many deliveries wait for one endpoint, they take nothing from the others' turn.
--
-- Locking and reading are two statements: the second sees what others committed before the first had the
-- lock. In one statement a delivery kept meanwhile would be overlooked, and the look that it asked for undone.
CREATE FUNCTION hand_out_deliveries(
    p_endpoints integer, p_at_once integer, p_lease interval, p_room boolean, p_slow_room boolean
)
RETURNS TABLE (delivery uuid, in_trouble boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_locked uuid[];
    v_now timestamptz;
BEGIN
    v_locked := ARRAY(
        SELECT e.id
        FROM webhooks_endpoint e
        WHERE e.status = 'enabled' AND e.due_at <= statement_timestamp()
          AND CASE WHEN e.failing_since IS NOT NULL OR e.is_slow THEN p_slow_room ELSE p_room END
        ORDER BY e.due_at
        LIMIT p_endpoints
        FOR NO KEY UPDATE SKIP LOCKED
    );
    IF v_locked = '{}' THEN
        RETURN;
    END IF;
    v_now := clock_timestamp();
    RETURN QUERY
    WITH looked_at AS MATERIALIZED (
        SELECT e.id, e.failing_since IS NOT NULL OR e.is_slow AS in_trouble, e.resume_at,
               CASE WHEN e.failing_since IS NULL AND e.has_succeeded THEN p_at_once ELSE 1 END AS at_once
        FROM webhooks_endpoint e
        WHERE e.id = ANY (v_locked)
    ), with_room AS MATERIALIZED (
        SELECT l.id, l.in_trouble, l.resume_at,
               CASE WHEN l.resume_at > v_now THEN 0
                    ELSE greatest(l.at_once - (
                        SELECT count(*) FROM webhooks_delivery d
                        WHERE d.endpoint_id = l.id AND d.handed_until > v_now
                    ), 0)
               END AS room
        FROM looked_at l
    ), picked AS MATERIALIZED (
        SELECT r.id AS endpoint_id, r.in_trouble, d.id
        FROM with_room r
        CROSS JOIN LATERAL (
            SELECT p.id FROM webhooks_delivery p
            WHERE p.endpoint_id = r.id AND p.status = 'pending' AND p.next_attempt_at <= v_now
            ORDER BY p.next_attempt_at, p.id
            LIMIT r.room
        ) d
    ), handed AS (
        UPDATE webhooks_delivery d
        SET handed_until = v_now + p_lease, next_attempt_at = v_now + p_lease, claim = NULL
        FROM picked p
        WHERE d.id = p.id
        RETURNING d.id, p.in_trouble
    ), looked_again AS (
        UPDATE webhooks_endpoint e
        SET due_at = CASE
            WHEN r.resume_at > v_now THEN r.resume_at
            WHEN r.room <= (SELECT count(*) FROM picked p WHERE p.endpoint_id = r.id)
                THEN v_now + p_lease
            ELSE least(
                (SELECT min(w.next_attempt_at) FROM webhooks_delivery w
                 WHERE w.endpoint_id = r.id AND w.status = 'pending' AND w.next_attempt_at > v_now),
                (SELECT v_now + p_lease FROM picked p WHERE p.endpoint_id = r.id LIMIT 1)
            )
        END
        FROM with_room r
        WHERE e.id = r.id
    )
    SELECT h.id, h.in_trouble FROM handed h ORDER BY h.id;
END
$$;
