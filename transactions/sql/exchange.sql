-- Exchange rates are appended; a quote serves one conversion and does not change otherwise.

CREATE FUNCTION rates_are_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: a new rate is added, an old one stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'rates_are_append_only';
END $$;

CREATE TRIGGER rates_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions_exchangerate
    FOR EACH STATEMENT EXECUTE FUNCTION rates_are_append_only();

CREATE FUNCTION quote_is_used_once() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF OLD.transaction_id IS NOT NULL
        OR to_jsonb(NEW) - 'transaction_id' IS DISTINCT FROM to_jsonb(OLD) - 'transaction_id'
        OR NOT EXISTS (
            SELECT FROM transactions_transaction t
            WHERE t.id = NEW.transaction_id AND t.kind = 'conversion' AND t.status = 'posted'
              AND t.created_at < NEW.expires_at
              AND (t.from_wallet_id, t.to_wallet_id, t.amount, t.to_amount, t.fee)
                = (NEW.from_wallet_id, NEW.to_wallet_id, NEW.amount, NEW.to_amount, NEW.fee)) THEN
        RAISE EXCEPTION 'a quote serves one conversion, in time and as it was quoted'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'quote_is_used_once';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER quote_is_used_once BEFORE UPDATE ON transactions_quote
    FOR EACH ROW EXECUTE FUNCTION quote_is_used_once();

-- Also under session_replication_role = replica.
ALTER TABLE transactions_exchangerate ENABLE ALWAYS TRIGGER rates_are_append_only;
ALTER TABLE transactions_quote ENABLE ALWAYS TRIGGER quote_is_used_once;
