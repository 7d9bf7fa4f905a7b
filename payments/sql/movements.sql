-- What is refused of intents, refunds and payouts, whoever asks: a step that is not one, a status whose money is
-- not where it says, another amount than was asked for.

-- Whether a row of one of the three tables may go from one status to the other.
CREATE FUNCTION payment_step_is_one(machine text, was text, becomes text) RETURNS boolean
LANGUAGE sql IMMUTABLE
    RETURN was = becomes OR (machine, was, becomes) IN (
        ('intent', 'requires_confirmation', 'processing'),
        ('intent', 'requires_confirmation', 'succeeded'),
        ('intent', 'requires_confirmation', 'failed'),
        ('intent', 'requires_confirmation', 'canceled'),
        ('intent', 'processing', 'succeeded'),
        ('intent', 'processing', 'failed'),
        ('intent', 'processing', 'canceled'),
        ('intent', 'failed', 'processing'),
        ('intent', 'failed', 'succeeded'),
        ('intent', 'failed', 'canceled'),
        ('refund', 'pending', 'succeeded'),
        ('refund', 'pending', 'failed'),
        ('refund', 'succeeded', 'failed'),
        ('payout', 'pending', 'in_transit'),
        ('payout', 'pending', 'canceled'),
        ('payout', 'in_transit', 'paid'),
        ('payout', 'in_transit', 'failed'),
        ('payout', 'paid', 'failed')
    );

-- Before an intent is written.
CREATE FUNCTION intent_is_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF (NEW.status, NEW.refunded_amount) <> ('requires_confirmation', 0) THEN
            PERFORM ledger_refuse('intent_begins_unpaid', 'a new intent waits for its confirmation');
        END IF;
        IF NOT is_exact_money(NEW.amount, NEW.currency) OR NOT EXISTS (
            SELECT FROM wallet_wallet w WHERE w.id = NEW.wallet_id
            AND (w.owner_id, w.currency::text) = (NEW.user_id, NEW.currency::text)) THEN
            PERFORM ledger_refuse('intent_is_for_a_wallet_of_its_user',
                'an intent has an exact amount in the currency of a wallet of its user');
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.user_id, NEW.wallet_id, NEW.amount, NEW.currency, NEW.provider, NEW.idempotency_key,
        NEW.fingerprint, NEW.created_at)
        <> (OLD.id, OLD.user_id, OLD.wallet_id, OLD.amount, OLD.currency, OLD.provider,
            OLD.idempotency_key, OLD.fingerprint, OLD.created_at)
        OR OLD.provider_reference NOT IN ('', NEW.provider_reference)
        OR OLD.client_secret NOT IN ('', NEW.client_secret)
        OR OLD.checkout_url NOT IN ('', NEW.checkout_url)
        OR (OLD.transaction_id IS NOT NULL
            AND NEW.transaction_id IS DISTINCT FROM OLD.transaction_id) THEN
        PERFORM ledger_refuse('intent_stays_what_it_is', 'what an intent is never changes');
    END IF;
    IF NOT payment_step_is_one('intent', OLD.status, NEW.status) THEN
        PERFORM ledger_refuse('intent_takes_only_allowed_steps',
            format('an intent does not go from %s to %s', OLD.status, NEW.status));
    END IF;
    IF NEW.transaction_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM transactions_transaction t JOIN wallet_wallet c ON c.id = t.from_wallet_id
        WHERE t.id = NEW.transaction_id
          AND t.initiated_by_id IS NULL AND t.idempotency_key = 'intent ' || NEW.id
          AND (t.kind, t.status, t.amount, t.currency, t.to_wallet_id, c.purpose)
            = ('deposit', 'posted', NEW.amount, NEW.currency, NEW.wallet_id, 'cash:' || NEW.provider)) THEN
        PERFORM ledger_refuse('intent_is_credited_exactly',
            'what an intent brings is its own deposit of its amount from its provider to its wallet');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER intent_is_kept BEFORE INSERT OR UPDATE ON payments_paymentintent
    FOR EACH ROW EXECUTE FUNCTION intent_is_kept();

-- Before a refund is written.
CREATE FUNCTION refund_is_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'pending' OR NOT EXISTS (
            SELECT FROM payments_paymentintent i
            JOIN transactions_transaction t ON t.id = NEW.transaction_id AND t.parent_id = i.transaction_id
            WHERE i.id = NEW.intent_id
              AND (i.provider, i.currency::text, t.kind, t.status, t.amount, t.from_wallet_id)
                = (NEW.provider, NEW.currency::text, 'refund', 'posted', NEW.amount, i.wallet_id)) THEN
            PERFORM ledger_refuse('refund_took_its_amount',
                'a new refund has posted its amount out of the wallet of its intent');
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.intent_id, NEW.amount, NEW.currency, NEW.provider, NEW.transaction_id, NEW.created_at)
        <> (OLD.id, OLD.intent_id, OLD.amount, OLD.currency, OLD.provider, OLD.transaction_id,
            OLD.created_at)
        OR OLD.provider_reference NOT IN ('', NEW.provider_reference)
        OR (OLD.return_transaction_id IS NOT NULL
            AND NEW.return_transaction_id IS DISTINCT FROM OLD.return_transaction_id) THEN
        PERFORM ledger_refuse('refund_stays_what_it_is', 'what a refund is never changes');
    END IF;
    IF NOT payment_step_is_one('refund', OLD.status, NEW.status) THEN
        PERFORM ledger_refuse('refund_takes_only_allowed_steps',
            format('a refund does not go from %s to %s', OLD.status, NEW.status));
    END IF;
    IF NEW.return_transaction_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM transactions_transaction t WHERE t.id = NEW.return_transaction_id
          AND (t.kind, t.status, t.parent_id, t.amount)
            = ('reversal', 'posted', NEW.transaction_id, NEW.amount)) THEN
        PERFORM ledger_refuse('refund_is_returned_exactly',
            'a failed refund gave back what it took');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER refund_is_kept BEFORE INSERT OR UPDATE ON payments_refund
    FOR EACH ROW EXECUTE FUNCTION refund_is_kept();

-- At the commit: an intent counts the refunds that have not failed.
CREATE FUNCTION refunds_are_counted() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    intent uuid := CASE TG_TABLE_NAME WHEN 'payments_refund' THEN (to_jsonb(NEW) ->> 'intent_id')::uuid
                   ELSE NEW.id END;
BEGIN
    IF (SELECT i.refunded_amount FROM payments_paymentintent i WHERE i.id = intent)
        <> (SELECT coalesce(sum(r.amount), 0) FROM payments_refund r
            WHERE r.intent_id = intent AND r.status <> 'failed') THEN
        PERFORM ledger_refuse('refunds_are_counted', 'what is refunded is what its refunds add up to');
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER refunds_are_counted AFTER INSERT OR UPDATE ON payments_refund
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refunds_are_counted();
CREATE CONSTRAINT TRIGGER refunds_are_counted AFTER UPDATE OF refunded_amount ON payments_paymentintent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refunds_are_counted();

-- Before a payout is written.
CREATE FUNCTION payout_is_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'pending' OR NOT EXISTS (
            SELECT FROM transactions_transaction t
            JOIN wallet_wallet w ON w.id = t.from_wallet_id
            JOIN wallet_wallet c ON c.id = t.to_wallet_id
            WHERE t.id = NEW.transaction_id
              AND (t.kind, t.status, t.amount, t.currency, w.id, w.owner_id, c.purpose)
                = ('withdrawal', 'pending', NEW.amount, NEW.currency, NEW.wallet_id, NEW.user_id,
                   'cash:' || NEW.provider)) THEN
            PERFORM ledger_refuse('payout_holds_its_amount',
                'a new payout holds its amount in a wallet of its user');
        END IF;
    ELSIF (NEW.id, NEW.user_id, NEW.wallet_id, NEW.amount, NEW.currency, NEW.provider, NEW.destination,
           NEW.transaction_id, NEW.created_at)
        <> (OLD.id, OLD.user_id, OLD.wallet_id, OLD.amount, OLD.currency, OLD.provider, OLD.destination,
            OLD.transaction_id, OLD.created_at)
        OR OLD.provider_reference NOT IN ('', NEW.provider_reference)
        OR (OLD.return_transaction_id IS NOT NULL
            AND NEW.return_transaction_id IS DISTINCT FROM OLD.return_transaction_id) THEN
        PERFORM ledger_refuse('payout_stays_what_it_is', 'what a payout is never changes');
    ELSIF NOT payment_step_is_one('payout', OLD.status, NEW.status) THEN
        PERFORM ledger_refuse('payout_takes_only_allowed_steps',
            format('a payout does not go from %s to %s', OLD.status, NEW.status));
    END IF;
    IF NOT payout_fits_its_hold(NEW) THEN
        PERFORM ledger_refuse('payout_fits_its_hold',
            'a payout holds its money until it is paid, and has given it back when it was not');
    END IF;
    RETURN NEW;
END $$;

-- Open while it may still be paid; captured whole when it was, and given back by a reversal when it came back
-- after that; voided when it was not.
CREATE FUNCTION payout_fits_its_hold(payout payments_payout) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce((
        SELECT (h.amount, h.wallet_id) = (payout.amount, payout.wallet_id) AND CASE h.status
            WHEN 'open' THEN payout.status IN ('pending', 'in_transit') AND h.captured_amount = 0
            WHEN 'voided' THEN payout.status IN ('failed', 'canceled') AND h.captured_amount = 0
                AND payout.return_transaction_id IS NULL
            WHEN 'captured' THEN h.captured_amount = payout.amount AND CASE payout.status
                WHEN 'paid' THEN payout.return_transaction_id IS NULL
                WHEN 'failed' THEN EXISTS (
                    SELECT FROM transactions_transaction t WHERE t.id = payout.return_transaction_id
                      AND (t.kind, t.status, t.parent_id, t.amount)
                        = ('reversal', 'posted', payout.transaction_id, payout.amount))
                ELSE false END
            ELSE false END
        FROM wallet_hold h WHERE h.id = payout.transaction_id), false)
$$;

CREATE TRIGGER payout_is_kept BEFORE INSERT OR UPDATE ON payments_payout
    FOR EACH ROW EXECUTE FUNCTION payout_is_kept();

-- At the commit: what ends the hold of a payout ends the payout.
CREATE FUNCTION hold_fits_its_payout() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM payments_payout p
               WHERE p.transaction_id = NEW.id AND NOT payout_fits_its_hold(p)) THEN
        PERFORM ledger_refuse('payout_fits_its_hold',
            'the hold of a payout ends with the payout');
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER hold_fits_its_payout AFTER UPDATE ON wallet_hold
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_fits_its_payout();

CREATE FUNCTION movements_are_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: what was asked is never removed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'movements_are_kept';
END $$;

CREATE TRIGGER movements_are_kept BEFORE DELETE OR TRUNCATE ON payments_paymentintent
    FOR EACH STATEMENT EXECUTE FUNCTION movements_are_kept();
CREATE TRIGGER movements_are_kept BEFORE DELETE OR TRUNCATE ON payments_refund
    FOR EACH STATEMENT EXECUTE FUNCTION movements_are_kept();
CREATE TRIGGER movements_are_kept BEFORE DELETE OR TRUNCATE ON payments_payout
    FOR EACH STATEMENT EXECUTE FUNCTION movements_are_kept();

-- Also under session_replication_role = replica.
ALTER TABLE payments_paymentintent ENABLE ALWAYS TRIGGER intent_is_kept;
ALTER TABLE payments_paymentintent ENABLE ALWAYS TRIGGER refunds_are_counted;
ALTER TABLE payments_paymentintent ENABLE ALWAYS TRIGGER movements_are_kept;
ALTER TABLE payments_refund ENABLE ALWAYS TRIGGER refund_is_kept;
ALTER TABLE payments_refund ENABLE ALWAYS TRIGGER refunds_are_counted;
ALTER TABLE payments_refund ENABLE ALWAYS TRIGGER movements_are_kept;
ALTER TABLE payments_payout ENABLE ALWAYS TRIGGER payout_is_kept;
ALTER TABLE payments_payout ENABLE ALWAYS TRIGGER movements_are_kept;
ALTER TABLE wallet_hold ENABLE ALWAYS TRIGGER hold_fits_its_payout;
