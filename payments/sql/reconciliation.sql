-- Settlement reports of providers: how one compares with what we know, and that neither is rewritten.

-- A day's start in UTC.
CREATE FUNCTION utc_midnight(day date) RETURNS timestamptz
LANGUAGE sql IMMUTABLE RETURN day::timestamp AT TIME ZONE 'UTC';

-- Whether a run of other days, one that counts, has a line about this.
CREATE FUNCTION is_told_elsewhere(subject uuid, the_provider text, first_day date, last_day date, told numeric)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM payments_reconciliationrow r JOIN payments_reconciliationrun n ON n.id = r.run_id
        WHERE r.subject_id = subject AND r.settled_at IS NOT NULL AND n.provider = the_provider
          AND (n.first_on, n.last_on) <> (first_day, last_day)
          AND (told IS NULL OR r.reported_amount = told)
          AND NOT EXISTS (SELECT FROM payments_reconciliationrun s WHERE s.supersedes_id = n.id))
$$;

-- Compares the lines in the temporary table report_line with payments, refunds and payouts, writes a row for
-- each of these into payments_reconciliationrow under the run's id, and returns how the sums compare with the
-- provider's wallets, per currency.
--
-- The lines are of the days of the run and of some around them: those settle what was posted on the run's days,
-- and say nothing else. Positive is what came to the provider; its wallet here shows the same below zero.
CREATE FUNCTION match_report(the_run uuid, the_provider text, first_day date, last_day date, late_days integer)
RETURNS TABLE (
    currency text, ledger numeric, unattributed numeric, report numeric, fees numeric, unmatched numeric)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    starts CONSTANT timestamptz := utc_midnight(first_day);
    ends CONSTANT timestamptz := utc_midnight(last_day + 1);
BEGIN
    DROP TABLE IF EXISTS pg_temp.report_match, pg_temp.report_posting;
    CREATE TEMPORARY TABLE report_match ON COMMIT DROP AS
    WITH told AS (
        SELECT kind, reference, currency, min(own_id::text)::uuid AS own_id, count(*) AS line_count,
               sum(amount) AS amount, sum(fee) AS fee, min(settled_at) AS settled_at,
               coalesce(sum(amount) FILTER (WHERE settled_at >= starts AND settled_at < ends), 0) AS in_range,
               bool_or(settled_at >= starts AND settled_at < ends) AS is_in_range
        FROM pg_temp.report_line GROUP BY kind, reference, currency
    ), found AS (
        SELECT told.*, CASE kind
            WHEN 'payment' THEN coalesce(
                (SELECT id FROM payments_paymentintent x WHERE x.provider = the_provider
                 AND x.provider_reference = told.reference AND x.provider_reference <> ''),
                (SELECT id FROM payments_paymentintent x WHERE x.id = told.own_id AND x.provider = the_provider))
            WHEN 'refund' THEN coalesce(
                (SELECT id FROM payments_refund x WHERE x.provider = the_provider
                 AND x.provider_reference = told.reference AND x.provider_reference <> ''),
                (SELECT id FROM payments_refund x WHERE x.id = told.own_id AND x.provider = the_provider))
            WHEN 'payout' THEN coalesce(
                (SELECT id FROM payments_payout x WHERE x.provider = the_provider
                 AND x.provider_reference = told.reference AND x.provider_reference <> ''),
                (SELECT id FROM payments_payout x WHERE x.id = told.own_id AND x.provider = the_provider))
            END AS subject_id
        FROM told
    ), both_sides AS (
        SELECT found.*, own.own_amount, own.own_currency, own.own_status, own.own_reference, own.posted_at
        FROM found LEFT JOIN LATERAL (
            SELECT x.amount AS own_amount, x.currency::text AS own_currency, x.status::text AS own_status,
                   x.provider_reference AS own_reference, t.created_at AS posted_at
            FROM payments_paymentintent x LEFT JOIN transactions_transaction t ON t.id = x.transaction_id
            WHERE found.kind = 'payment' AND x.id = found.subject_id
            UNION ALL
            SELECT -x.amount, x.currency, x.status, x.provider_reference, t.created_at
            FROM payments_refund x JOIN transactions_transaction t ON t.id = x.transaction_id
            WHERE found.kind = 'refund' AND x.id = found.subject_id
            UNION ALL
            SELECT -x.amount, x.currency, x.status, x.provider_reference, t.created_at
            FROM payments_payout x LEFT JOIN transactions_transaction t
                ON t.parent_id = x.transaction_id AND t.kind = 'withdrawal' AND t.status = 'posted'
            WHERE found.kind = 'payout' AND x.id = found.subject_id
        ) own ON true
    ), judged AS (
        SELECT both_sides.*, CASE
            WHEN subject_id IS NULL THEN 'extra'
            WHEN own_currency <> currency THEN 'currency'
            WHEN own_reference NOT IN ('', reference) THEN 'reference'
            -- What came back: seen going and coming, or one of both on another day.
            WHEN own_status IN ('failed', 'canceled') AND kind <> 'payment' THEN CASE
                WHEN amount IN (0, -own_amount) THEN ''
                WHEN amount <> own_amount THEN 'amount'
                WHEN is_told_elsewhere(subject_id, the_provider, first_day, last_day, -own_amount) THEN ''
                ELSE 'state' END
            WHEN own_status IN ('succeeded', 'paid', 'in_transit')
                OR (kind = 'refund' AND own_status = 'pending') THEN CASE
                WHEN amount = own_amount THEN ''
                WHEN amount IN (0, -own_amount) THEN 'state'
                ELSE 'amount' END
            -- Not moved here at all, so far.
            WHEN amount = 0 THEN ''
            ELSE 'state' END AS verdict
        FROM both_sides
        WHERE is_in_range OR (posted_at >= starts AND posted_at < ends)
    )
    SELECT CASE verdict WHEN '' THEN 'matched' WHEN 'extra' THEN 'extra' ELSE 'differing' END AS outcome,
           CASE verdict WHEN 'extra' THEN '' ELSE verdict END AS reason,
           kind, reference, subject_id, line_count, amount, fee, currency, settled_at, in_range,
           own_amount, own_currency, own_status, posted_at
    FROM judged;
    ANALYZE pg_temp.report_match;

    -- What was posted at the provider's wallets on these days, and of refunds, which are posted before they
    -- succeed, on days before that were looked at.
    CREATE TEMPORARY TABLE report_posting ON COMMIT DROP AS
    SELECT t.id, t.parent_id, t.kind::text, t.currency::text, t.created_at, t.amount * side.sign AS amount,
           t.created_at >= starts AS is_in_range
    FROM wallet_wallet c
    CROSS JOIN LATERAL (
        SELECT x.id, x.parent_id, x.kind, x.currency, x.created_at, x.amount, x.from_wallet_id
        FROM transactions_transaction x
        WHERE x.from_wallet_id = c.id AND x.status = 'posted' AND x.created_at >= starts AND x.created_at < ends
        UNION ALL
        SELECT x.id, x.parent_id, x.kind, x.currency, x.created_at, x.amount, x.from_wallet_id
        FROM transactions_transaction x
        WHERE x.to_wallet_id = c.id AND x.status = 'posted' AND x.status <> 'declined'
          AND x.created_at >= starts - make_interval(days => late_days) AND x.created_at < ends
          AND (x.created_at >= starts OR x.kind = 'refund')
    ) t
    CROSS JOIN LATERAL (SELECT CASE WHEN t.from_wallet_id = c.id THEN 1 ELSE -1 END AS sign) side
    WHERE c.purpose = 'cash:' || the_provider;
    ANALYZE pg_temp.report_posting;

    INSERT INTO pg_temp.report_match
    SELECT 'missing', '', own.kind, own.reference, own.id, 0, NULL, NULL, '', NULL, 0,
           own.amount, own.currency, own.status, own.posted_at
    FROM (
        SELECT 'payment' AS kind, x.provider_reference AS reference, x.id, p.amount, p.currency,
               x.status::text, p.created_at AS posted_at
        FROM pg_temp.report_posting p JOIN payments_paymentintent x ON x.transaction_id = p.id
        WHERE p.kind = 'deposit'
        UNION ALL
        SELECT 'refund', x.provider_reference, x.id, p.amount, p.currency, x.status, p.created_at
        FROM pg_temp.report_posting p JOIN payments_refund x ON x.transaction_id = p.id
        WHERE p.kind = 'refund' AND x.status = 'succeeded'
          AND (p.is_in_range OR (
              EXISTS (SELECT FROM payments_reconciliationrun n WHERE n.provider = the_provider
                      AND (p.created_at AT TIME ZONE 'UTC')::date BETWEEN n.first_on AND n.last_on)
              AND NOT EXISTS (
                  SELECT FROM payments_reconciliationrow r JOIN payments_reconciliationrun n ON n.id = r.run_id
                  WHERE r.subject_id = x.id AND r.outcome = 'missing'
                    AND (n.first_on, n.last_on) <> (first_day, last_day))))
        UNION ALL
        SELECT 'payout', x.provider_reference, x.id, p.amount, p.currency, x.status, p.created_at
        FROM pg_temp.report_posting p JOIN payments_payout x ON x.transaction_id = p.parent_id
        WHERE p.kind = 'withdrawal' AND x.status = 'paid'
    ) own
    WHERE NOT EXISTS (SELECT FROM pg_temp.report_match m WHERE m.subject_id = own.id)
      AND NOT is_told_elsewhere(own.id, the_provider, first_day, last_day, NULL);

    INSERT INTO payments_reconciliationrow (
        run_id, outcome, reason, kind, reference, subject_id, line_count, reported_amount, reported_fee,
        reported_currency, settled_at, own_amount, own_currency, own_status, posted_at, explanation)
    SELECT the_run, outcome, reason, kind, reference, subject_id, line_count, amount, fee, currency, settled_at,
           own_amount, coalesce(own_currency, ''), coalesce(own_status, ''), posted_at, ''
    FROM pg_temp.report_match ORDER BY outcome, settled_at, reference;

    RETURN QUERY
    WITH told AS (
        SELECT currency, sum(amount) AS amount, sum(fee) AS fee FROM pg_temp.report_line
        WHERE settled_at >= starts AND settled_at < ends GROUP BY currency
    ), posted AS (
        SELECT p.currency, sum(p.amount) AS amount, sum(p.amount) FILTER (
            WHERE NOT EXISTS (SELECT FROM payments_paymentintent x WHERE x.transaction_id = p.id)
              AND NOT EXISTS (SELECT FROM payments_refund x WHERE x.transaction_id = p.id)
              AND NOT EXISTS (SELECT FROM payments_refund x WHERE x.return_transaction_id = p.id)
              AND NOT EXISTS (SELECT FROM payments_payout x WHERE x.return_transaction_id = p.id)
              AND NOT EXISTS (SELECT FROM payments_payout x WHERE x.transaction_id = p.parent_id)
        ) AS unattributed
        FROM pg_temp.report_posting p WHERE p.is_in_range GROUP BY p.currency
    ), odd AS (
        SELECT o.currency, sum(o.amount) AS amount FROM (
            SELECT currency, in_range AS amount FROM pg_temp.report_match WHERE outcome <> 'matched'
            UNION ALL
            SELECT own_currency, -own_amount FROM pg_temp.report_match
            WHERE outcome <> 'matched' AND posted_at >= starts AND posted_at < ends
        ) o WHERE o.currency <> '' GROUP BY o.currency
    )
    SELECT currency::text, coalesce(posted.amount, 0), coalesce(posted.unattributed, 0),
           coalesce(told.amount, 0), coalesce(told.fee, 0), coalesce(odd.amount, 0)
    FROM told FULL JOIN posted USING (currency) FULL JOIN odd USING (currency)
    ORDER BY 1;
END $$;

CREATE FUNCTION reconciliation_is_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: a run is superseded by another, never changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'reconciliation_is_kept';
END $$;

CREATE FUNCTION explanation_is_added_once() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF OLD.explained_at IS NOT NULL
        OR to_jsonb(NEW) - '{explained_at,explained_by_id,explanation}'::text[]
            <> to_jsonb(OLD) - '{explained_at,explained_by_id,explanation}'::text[] THEN
        PERFORM ledger_refuse('explanation_is_added_once', 'of a row only its explanation is added, once');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER reconciliation_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON payments_reconciliationrun
    FOR EACH STATEMENT EXECUTE FUNCTION reconciliation_is_kept();
CREATE TRIGGER reconciliation_is_kept BEFORE DELETE OR TRUNCATE ON payments_reconciliationrow
    FOR EACH STATEMENT EXECUTE FUNCTION reconciliation_is_kept();
CREATE TRIGGER explanation_is_added_once BEFORE UPDATE ON payments_reconciliationrow
    FOR EACH ROW EXECUTE FUNCTION explanation_is_added_once();
ALTER TABLE payments_reconciliationrun ENABLE ALWAYS TRIGGER reconciliation_is_kept;
ALTER TABLE payments_reconciliationrow ENABLE ALWAYS TRIGGER reconciliation_is_kept;
ALTER TABLE payments_reconciliationrow ENABLE ALWAYS TRIGGER explanation_is_added_once;
