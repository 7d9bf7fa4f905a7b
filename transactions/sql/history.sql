-- Where a wallet stood at a past moment: the last of its entries that are dated before it, and the balance
-- that one left; sequence 0 and balance 0 where there is none.
-- Sequences have no gaps and times never go back along them (trigger entry_continues_the_chain), so the place
-- is found by halving: log2(n) reads of one row by the index on (wallet, sequence), however many entries came
-- later, without an index on times.
-- An answer is final. A posting takes its time before it commits: for a moment that has only just passed, this
-- waits until nobody holds the wallet's lock, and reads what was committed until then (VOLATILE).
CREATE FUNCTION last_entry_before(
    p_wallet uuid, p_moment timestamptz, OUT sequence bigint, OUT balance numeric
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    newest bigint;
    middle bigint;
BEGIN
    IF p_moment BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() THEN
        PERFORM FROM wallet_wallet w WHERE w.id = p_wallet FOR SHARE;
    END IF;
    SELECT w.last_sequence INTO newest FROM wallet_wallet w WHERE w.id = p_wallet;
    sequence := 0;
    balance := 0;
    WHILE sequence < newest LOOP
        middle := (sequence + newest + 1) / 2;
        IF (SELECT e.created_at < p_moment FROM transactions_ledgerentry e
            WHERE e.wallet_id = p_wallet AND e.sequence = middle) THEN
            sequence := middle;
        ELSE
            newest := middle - 1;
        END IF;
    END LOOP;
    SELECT e.balance_after INTO balance FROM transactions_ledgerentry e
    WHERE e.wallet_id = p_wallet AND e.sequence = last_entry_before.sequence;
    balance := coalesce(balance, 0);
END $$;
