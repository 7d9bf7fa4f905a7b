-- L0, the floor: the least that a safe double-entry transfer asks of PostgreSQL. One key that is unique, one
-- transaction, two entries, and two balances that are updated in the order of their ids and never fall below
-- zero. Amounts are whole numbers of the smallest unit. Everybody starts with the same opening balance.

CREATE TABLE account (
    id bigint PRIMARY KEY,
    balance bigint NOT NULL CONSTRAINT balance_is_never_negative CHECK (balance >= 0)
) WITH (fillfactor = 50);

CREATE TABLE transaction (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bigint NOT NULL UNIQUE,
    amount bigint NOT NULL CHECK (amount > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE entry (
    account_id bigint NOT NULL,
    transaction_id bigint NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (account_id, transaction_id)
);

-- One transfer, once per key. The balances come last: their rows are locked for the commit alone.
CREATE FUNCTION transfer(asked_key bigint, payer bigint, recipient bigint, asked bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO transaction (key, amount) VALUES (asked_key, asked)
        ON CONFLICT (key) DO NOTHING RETURNING id INTO made;
    IF made IS NULL THEN
        SELECT id INTO STRICT made FROM transaction WHERE key = asked_key;
        RETURN made;
    END IF;
    INSERT INTO entry VALUES (payer, made, -asked), (recipient, made, asked);
    IF payer < recipient THEN
        UPDATE account SET balance = balance - asked WHERE id = payer;
        UPDATE account SET balance = balance + asked WHERE id = recipient;
    ELSE
        UPDATE account SET balance = balance + asked WHERE id = recipient;
        UPDATE account SET balance = balance - asked WHERE id = payer;
    END IF;
    RETURN made;
END $$;

-- Many transfers in one commit; returns how many were new. Every balance moves once, by its net amount.
CREATE FUNCTION transfer_many(keys bigint[], payers bigint[], recipients bigint[], asked bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    posted bigint;
BEGIN
    PERFORM FROM account WHERE id = ANY (payers || recipients) ORDER BY id FOR UPDATE;
    WITH wanted AS (
        SELECT * FROM unnest(keys, payers, recipients) AS t (key, payer, recipient)
    ), made AS (
        INSERT INTO transaction (key, amount) SELECT key, asked FROM wanted
            ON CONFLICT (key) DO NOTHING RETURNING id, key
    ), leg AS (
        SELECT made.id, account_id, amount FROM made JOIN wanted USING (key)
            CROSS JOIN LATERAL (VALUES (payer, -asked), (recipient, asked)) AS l (account_id, amount)
    ), written AS (
        INSERT INTO entry SELECT account_id, id, amount FROM leg
    ), moved AS (
        UPDATE account SET balance = balance + net
            FROM (SELECT account_id, sum(amount) AS net FROM leg GROUP BY account_id) AS n
            WHERE account.id = n.account_id
    )
    SELECT count(*) INTO posted FROM made;
    RETURN posted;
END $$;

-- So many transfers as ``benchmarks.workload.draw`` draws them, made here: pgbench has no arrays.
CREATE FUNCTION transfer_drawn(rung text, caller bigint, callers bigint, accounts bigint, size integer)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    width bigint := (accounts - 1) / callers;
    own bigint := 1 + caller * width;
    keys bigint[];
    payers bigint[];
    recipients bigint[];
BEGIN
    WITH chance AS MATERIALIZED (
        SELECT (random() * 9e18)::bigint AS key, random() AS one, random() AS two
        FROM generate_series(1, size)
    ), side AS (
        SELECT key,
            CASE rung
                WHEN 'zipfian' THEN floor(accounts ^ one)::bigint - 1
                WHEN 'ten' THEN floor(one * 10)::bigint
                WHEN 'hot-payer' THEN 0
                ELSE own + floor(one * width)::bigint
            END AS payer,
            CASE rung
                WHEN 'zipfian' THEN floor(accounts ^ two)::bigint - 1
                WHEN 'ten' THEN (floor(one * 10)::bigint + 1 + floor(two * 9)::bigint) % 10
                WHEN 'hot-recipient' THEN 0
                WHEN 'hot-payer' THEN own + floor(two * width)::bigint
                ELSE own + (floor(one * width)::bigint + 1 + floor(two * (width - 1))::bigint) % width
            END AS recipient
        FROM chance
    )
    SELECT array_agg(key), array_agg(payer),
           array_agg(CASE WHEN recipient = payer THEN (payer + 1) % accounts ELSE recipient END)
        INTO keys, payers, recipients FROM side;
    RETURN transfer_many(keys, payers, recipients, 1);
END $$;

-- What must hold and does not: nothing, when the books agree.
CREATE FUNCTION violation(opening bigint) RETURNS TABLE (fact text, subject bigint) LANGUAGE sql AS $$
    SELECT 'a transaction has two entries that sum to zero', transaction.id
        FROM transaction LEFT JOIN entry ON entry.transaction_id = transaction.id
        GROUP BY transaction.id
        HAVING count(entry.account_id) <> 2 OR sum(entry.amount) <> 0
            OR max(entry.amount) <> transaction.amount
    UNION ALL
    SELECT 'an entry belongs to a transaction', entry.transaction_id
        FROM entry LEFT JOIN transaction ON transaction.id = entry.transaction_id
        WHERE transaction.id IS NULL
    UNION ALL
    SELECT 'a balance is its opening and its entries, and not negative', account.id
        FROM account LEFT JOIN (SELECT account_id, sum(amount) AS net FROM entry GROUP BY 1) AS n
            ON n.account_id = account.id
        WHERE account.balance <> opening + coalesce(n.net, 0) OR account.balance < 0
$$;
