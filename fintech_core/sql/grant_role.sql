-- Rights of the application's role: it reads all, writes what may change, and appends to what may not.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON django_migrations FROM {role};
REVOKE UPDATE, DELETE, TRUNCATE ON events_auditrecord FROM {role};
-- What is to be announced is never rewritten; whoever hands it on takes it out.
REVOKE UPDATE, DELETE, TRUNCATE ON events_outboxevent FROM {role};
GRANT EXECUTE ON FUNCTION take_outbox_events(integer) TO {role};
-- The ledger is written by post_ledger() alone, which runs with its owner's rights.
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON transactions_ledgerentry, transactions_transaction
    FROM {role};
REVOKE UPDATE, DELETE, TRUNCATE ON transactions_claimedkey FROM {role};
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON wallet_hold FROM {role};
GRANT EXECUTE ON FUNCTION post_ledger(posted_transaction[], posted_entry[], posted_wallet[], json)
    TO {role};
-- Of a wallet it changes what is not the ledger's; it needs some UPDATE right to lock rows.
REVOKE UPDATE, DELETE, TRUNCATE ON wallet_wallet FROM {role};
GRANT UPDATE (name, status, status_reason, overdraft_limit) ON wallet_wallet TO {role};
-- A halt of the postings is raised and cleared, never removed.
REVOKE UPDATE, DELETE, TRUNCATE ON transactions_ledgerhalt FROM {role};
GRANT UPDATE (cleared_at, cleared_by_id, cleared_because) ON transactions_ledgerhalt TO {role};
-- What is evidence is appended to.
REVOKE UPDATE, DELETE, TRUNCATE
    ON transactions_checkpoint, transactions_checkpointhead, transactions_verification FROM {role};
-- What currencies were worth is never rewritten; of a quote, only which conversion used it is added.
REVOKE UPDATE, DELETE, TRUNCATE ON transactions_exchangerate FROM {role};
REVOKE UPDATE, TRUNCATE ON transactions_quote FROM {role};
GRANT UPDATE (transaction_id) ON transactions_quote TO {role};
-- What was planned, and what became of it, is never rewritten; a schedule only moves on, or ends.
REVOKE UPDATE, DELETE, TRUNCATE ON transactions_schedule, transactions_schedulerun FROM {role};
GRANT UPDATE (status, next_run_at, attempt_at, troubles, canceled_at) ON transactions_schedule TO {role};
-- What a provider told is kept as it came; only what became of it is noted.
REVOKE UPDATE, TRUNCATE ON payments_providerevent FROM {role};
GRANT UPDATE (status, attempts, failure, next_attempt_at, paused_until, finished_at)
    ON payments_providerevent TO {role};
-- An issue is resolved, never rewritten or removed.
REVOKE UPDATE, DELETE, TRUNCATE ON payments_paymentissue FROM {role};
GRANT UPDATE (resolved_at, resolved_by_id, resolution) ON payments_paymentissue TO {role};
-- What was asked is never removed; what may change of it the triggers of payments say.
REVOKE DELETE, TRUNCATE ON payments_paymentintent, payments_refund, payments_payout FROM {role};
-- A reconciliation is superseded by another, never rewritten; of a row an explanation is added.
REVOKE UPDATE, DELETE, TRUNCATE ON payments_reconciliationrun, payments_reconciliationrow FROM {role};
GRANT UPDATE (explained_at, explained_by_id, explanation) ON payments_reconciliationrow TO {role};
-- What is told, and what was tried, is never rewritten; it is removed by age.
REVOKE UPDATE, TRUNCATE ON webhooks_webhookevent, webhooks_deliveryattempt FROM {role};
