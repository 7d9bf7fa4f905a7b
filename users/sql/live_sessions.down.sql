DROP FUNCTION live_sessions(uuid[], uuid[], bigint[]);
