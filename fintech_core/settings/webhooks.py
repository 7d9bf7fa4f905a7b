"""Webhooks out (docs/webhooks.md)."""

from datetime import timedelta

from fintech_core.settings.base import env

# Encrypts the secrets that sign webhooks. To change it, name the old one below and run
# ``manage.py reseal_webhook_secrets``: what it sealed stays readable meanwhile.
WEBHOOK_SECRETS_KEY = env.secret(
    "WEBHOOK_SECRETS_KEY", development="development-only-key-of-webhook-secrets", least=43
)
WEBHOOK_SECRETS_OLD_KEYS = env.words("WEBHOOK_SECRETS_OLD_KEYS")
# Networks that webhooks may be sent to although they are not public, also by plain http.
WEBHOOK_ALLOWED_NETWORKS = env.networks("WEBHOOK_ALLOWED_NETWORKS")
# Endpoints a user may have, and URLs a user may name in a day: each is looked up.
WEBHOOK_ENDPOINTS_PER_USER = env.number("WEBHOOK_ENDPOINTS_PER_USER", 10)
WEBHOOK_URLS_PER_DAY = env.number("WEBHOOK_URLS_PER_DAY", 100)
# How long the secret before the last rotation signs, too.
WEBHOOK_ROTATION_OVERLAP = timedelta(hours=env.number("WEBHOOK_ROTATION_OVERLAP_HOURS", 24))
# Seconds between the tries of a delivery; after the last of them it is dead: three days by default.
WEBHOOK_RETRY_PAUSES = env.numbers(
    "WEBHOOK_RETRY_PAUSES",
    "5,30,120,600,1800,3600,7200,14400,28800,43200,43200,43200,43200,28800",
)
# A receiver's Retry-After is obeyed up to this.
WEBHOOK_LONGEST_WAIT = timedelta(hours=1)
# How long a try may take in all, where the receiver has answered well and quickly, and else.
WEBHOOK_QUICK_SECONDS = 3
WEBHOOK_SECONDS = 10
# An answer that takes longer makes its receiver a slow one, which is served beside the others.
WEBHOOK_SLOW_ANSWER = timedelta(seconds=1)
# Deliveries under way to one receiver at once, and how long a handed out one waits for its worker before
# it is handed out again: longer than messages usually wait in the queue.
WEBHOOK_AT_ONCE = 4
WEBHOOK_LEASE = timedelta(seconds=env.number("WEBHOOK_LEASE_SECONDS", 60))
if not WEBHOOK_LEASE:
    env.problem("WEBHOOK_LEASE_SECONDS must be 1 or more.")
# A receiver that has failed for so long without one success is disabled.
WEBHOOK_DISABLE_AFTER = timedelta(days=env.number("WEBHOOK_DISABLE_AFTER_DAYS", 5))
# How long kept events and what became of their deliveries can be looked up and sent again.
WEBHOOK_RETENTION = timedelta(days=env.number("WEBHOOK_RETENTION_DAYS", 30))
# Deliveries that one call may send again.
WEBHOOK_REDELIVERIES_AT_ONCE = 10_000
