DROP TRIGGER explanation_is_added_once ON payments_reconciliationrow;
DROP TRIGGER reconciliation_is_kept ON payments_reconciliationrow;
DROP TRIGGER reconciliation_is_kept ON payments_reconciliationrun;
DROP FUNCTION explanation_is_added_once();
DROP FUNCTION reconciliation_is_kept();
DROP FUNCTION match_report(uuid, text, date, date, integer);
DROP FUNCTION is_told_elsewhere(uuid, text, date, date, numeric);
DROP FUNCTION utc_midnight(date);
