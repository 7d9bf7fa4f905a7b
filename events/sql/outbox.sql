-- Takes the oldest events out of the outbox; those that another transaction is taking are passed over. Runs
-- with its owner's rights: the application's role cannot remove an event without having read it.
CREATE FUNCTION take_outbox_events(p_limit integer) RETURNS TABLE (
    id uuid, type varchar, owner_id uuid, subject_id uuid, sequence integer, data jsonb,
    created_at timestamptz
)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
    DELETE FROM events_outboxevent o
    USING (SELECT e.id FROM events_outboxevent e ORDER BY e.id LIMIT p_limit FOR UPDATE SKIP LOCKED) AS t
    WHERE o.id = t.id
    RETURNING o.id, o.type, o.owner_id, o.subject_id, o.sequence, o.data, o.created_at
$$;

REVOKE ALL ON FUNCTION take_outbox_events(integer) FROM PUBLIC;
