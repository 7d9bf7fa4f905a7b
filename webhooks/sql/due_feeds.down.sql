DROP FUNCTION due_webhook_feeds();
