DROP FUNCTION due_payment_feeds();
