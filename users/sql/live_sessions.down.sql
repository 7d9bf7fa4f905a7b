DROP FUNCTION live_sessions(uuid[], uuid[], bigint[], text[], text, integer, double precision);
