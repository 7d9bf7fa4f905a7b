-- Which of the relay's feeds (settings.RELAY_FEEDS) have a row that is due. The relay asks many times a second,
-- so that it need not try each feed: one plan, kept, and a step into an index for each table.
CREATE FUNCTION due_payment_feeds() RETURNS TABLE (feed text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT 'provider_events' WHERE EXISTS (
        SELECT FROM payments_providerevent e WHERE e.status = 'pending' AND e.next_attempt_at <= now()
    )
    UNION ALL
    SELECT 'payouts' WHERE EXISTS (SELECT FROM payments_payout p WHERE p.next_attempt_at <= now())
    UNION ALL
    SELECT 'refunds' WHERE EXISTS (SELECT FROM payments_refund r WHERE r.next_attempt_at <= now())
    UNION ALL
    SELECT 'intents' WHERE EXISTS (SELECT FROM payments_paymentintent i WHERE i.next_attempt_at <= now());
END
$$;
