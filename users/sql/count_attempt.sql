-- Adds to several counters in one atomic statement and returns what they hold now. A counter whose
-- window has passed starts again. The rows are locked in the order of the arrays: callers always name
-- narrower scopes first, so that two of these statements cannot wait for each other.
INSERT INTO users_attemptcounter (scope, subject, window_start, count, pending)
SELECT scope, subject, now(), greatest(%(count)s, 0), greatest(%(pending)s, 0)
FROM unnest(%(scopes)s::text[], %(subjects)s::text[]) WITH ORDINALITY AS t (scope, subject, position)
ORDER BY position
ON CONFLICT ON CONSTRAINT attempt_counter_is_unique DO UPDATE SET
    window_start = CASE
        WHEN users_attemptcounter.window_start <= now() - %(window)s * interval '1 second' THEN now()
        ELSE users_attemptcounter.window_start
    END,
    count = CASE
        WHEN users_attemptcounter.window_start <= now() - %(window)s * interval '1 second' THEN excluded.count
        ELSE greatest(users_attemptcounter.count + %(count)s, 0)
    END,
    pending = CASE
        WHEN users_attemptcounter.window_start <= now() - %(window)s * interval '1 second' THEN excluded.pending
        ELSE greatest(users_attemptcounter.pending + %(pending)s, 0)
    END
RETURNING scope, count, pending, ceil(extract(epoch FROM window_start + %(window)s * interval '1 second' - now()))::int
