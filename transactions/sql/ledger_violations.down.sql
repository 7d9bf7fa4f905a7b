DROP FUNCTION ledger_violations();
