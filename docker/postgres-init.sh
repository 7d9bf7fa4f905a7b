#!/bin/sh
# Runs once, when the database is made: the application's own role, which owns nothing. What it may do is
# granted by the migrations, which run as the owner.
# The official image may source this file instead of running it, so it changes no shell option.
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
  -v password="$FINTECH_APP_PASSWORD" <<'SQL'
CREATE ROLE fintech_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
SQL
