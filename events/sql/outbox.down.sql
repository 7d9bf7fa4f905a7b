DROP FUNCTION take_outbox_events(integer);
