DROP TRIGGER audit_trail_is_append_only ON events_auditrecord;
DROP TRIGGER audit_record_is_chained ON events_auditrecord;
DROP FUNCTION audit_trail_is_append_only();
DROP FUNCTION audit_record_is_chained();
DROP FUNCTION audit_record_hash(
    bytea, uuid, text, uuid, bigint, text, uuid, text, jsonb, jsonb, text, timestamptz
);
