DROP TRIGGER quote_is_used_once ON transactions_quote;
DROP FUNCTION quote_is_used_once();
DROP TRIGGER rates_are_append_only ON transactions_exchangerate;
DROP FUNCTION rates_are_append_only();
