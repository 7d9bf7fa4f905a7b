DROP FUNCTION payment_violations();
