DROP FUNCTION transactions_of_keys(uuid[], text[]);
DROP FUNCTION user_standings(uuid[]);
DROP FUNCTION transfer_parties(uuid[], text[], text[], uuid[]);
