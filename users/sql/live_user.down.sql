DROP FUNCTION live_user(uuid, uuid, bigint);
