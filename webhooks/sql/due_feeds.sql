-- Which of the relay's feeds (settings.RELAY_FEEDS) have something to do; see payments/sql/due_feeds.sql.
CREATE FUNCTION due_webhook_feeds() RETURNS TABLE (feed text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT 'announcements' WHERE EXISTS (SELECT FROM events_outboxevent)
    UNION ALL
    SELECT 'deliveries' WHERE EXISTS (
        SELECT FROM webhooks_endpoint e WHERE e.status = 'enabled' AND e.due_at <= now()
    );
END
$$;
