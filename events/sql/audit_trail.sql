-- The audit trail numbers, times and chains itself, and refuses to change.

-- SHA-256 over the record before it and every column of this one, as an unambiguous JSON array. Plain
-- arguments and no row type, so that the table can grow.
CREATE FUNCTION audit_record_hash(
    previous_hash bytea, id uuid, subject_type text, subject_id uuid, sequence bigint, action text,
    actor_id uuid, request_id text, before jsonb, after jsonb, reason text, created_at timestamptz
) RETURNS bytea
LANGUAGE sql IMMUTABLE
    RETURN sha256(previous_hash || convert_to(jsonb_build_array(
        id, subject_type, subject_id, sequence, action, actor_id, request_id, before, after, reason,
        extract(epoch FROM created_at)
    )::text, 'UTF8'));

CREATE FUNCTION audit_record_is_chained() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    head record;
BEGIN
    -- Writers of one subject queue here, so its numbers have no gaps; other subjects are not delayed.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.subject_type || NEW.subject_id::text, 0));
    SELECT sequence, hash INTO head
    FROM events_auditrecord
    WHERE subject_type = NEW.subject_type AND subject_id = NEW.subject_id
    ORDER BY sequence DESC
    LIMIT 1;
    NEW.sequence := coalesce(head.sequence, 0) + 1;
    NEW.created_at := clock_timestamp();
    NEW.previous_hash := coalesce(head.hash, '\x'::bytea);
    NEW.hash := audit_record_hash(
        NEW.previous_hash, NEW.id, NEW.subject_type, NEW.subject_id, NEW.sequence, NEW.action,
        NEW.actor_id, NEW.request_id, NEW.before, NEW.after, NEW.reason, NEW.created_at
    );
    RETURN NEW;
END $$;

CREATE FUNCTION audit_trail_is_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'audit records are never changed or removed'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'audit_trail_is_append_only';
END $$;

CREATE TRIGGER audit_record_is_chained BEFORE INSERT ON events_auditrecord
    FOR EACH ROW EXECUTE FUNCTION audit_record_is_chained();
CREATE TRIGGER audit_trail_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events_auditrecord
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_is_append_only();

-- Also under session_replication_role = replica.
ALTER TABLE events_auditrecord ENABLE ALWAYS TRIGGER audit_record_is_chained;
ALTER TABLE events_auditrecord ENABLE ALWAYS TRIGGER audit_trail_is_append_only;
