DROP TRIGGER spending_window_follows_the_clock ON wallet_wallet;
DROP TRIGGER held_follows_the_holds ON wallet_wallet;
DROP TRIGGER sequence_never_goes_back ON wallet_wallet;
DROP TRIGGER wallet_identity_is_fixed ON wallet_wallet;
DROP TRIGGER wallets_follow_the_ledger ON wallet_wallet;
DROP TRIGGER wallets_start_empty ON wallet_wallet;
DROP TRIGGER wallets_are_kept ON wallet_wallet;
DROP TRIGGER transactions_are_whole ON transactions_transaction;
DROP TRIGGER entries_are_whole ON transactions_ledgerentry;
DROP TRIGGER ledger_is_append_only ON transactions_transaction;
DROP TRIGGER ledger_is_append_only ON transactions_ledgerentry;
DROP FUNCTION wallets_are_kept();
DROP FUNCTION refuse_change();
DROP FUNCTION wallets_follow_the_ledger();
DROP FUNCTION wallets_start_empty();
DROP FUNCTION transactions_are_whole();
DROP FUNCTION entries_are_whole();
DROP FUNCTION ledger_refuse(text, text);
DROP FUNCTION ledger_is_append_only();
DROP FUNCTION post_ledger(jsonb, jsonb, jsonb);
DROP AGGREGATE ledger_chain(bytea, bytea);
DROP FUNCTION ledger_chain_step(bytea, bytea, bytea);
DROP FUNCTION ledger_leaf(jsonb, integer, uuid, bigint, numeric, numeric);
DROP FUNCTION transaction_facts(
    uuid, text, numeric, text, uuid, uuid, uuid, text, bytea, text, jsonb, text, inet, timestamptz
);
ALTER TABLE wallet_wallet
    DROP CONSTRAINT spending_adds_up, DROP CONSTRAINT wallet_amounts_are_exact,
    DROP CONSTRAINT wallet_currency_is_a_code;
ALTER TABLE transactions_transaction
    DROP CONSTRAINT transaction_time_is_finite, DROP CONSTRAINT fingerprint_is_sha256, DROP CONSTRAINT idempotency_key_is_printable,
    DROP CONSTRAINT transaction_amount_is_exact;
ALTER TABLE transactions_ledgerentry
    DROP CONSTRAINT entry_numbers_start_at_one, DROP CONSTRAINT entry_amount_is_exact;
DROP FUNCTION is_exact_money(numeric, text);
DROP FUNCTION currency_places(text);
