DROP TRIGGER audit_trail_is_append_only ON events_auditrecord;
DROP TRIGGER audit_record_is_chained ON events_auditrecord;
DROP FUNCTION audit_trail_is_append_only();
DROP FUNCTION audit_record_is_chained();
DROP FUNCTION audit_record_hash(events_auditrecord);
