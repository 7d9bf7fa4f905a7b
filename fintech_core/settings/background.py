"""Celery and the relay (fintech_core/queues.py, docs/operations.md)."""

from fintech_core import queues
from fintech_core.settings.base import env
from fintech_core.settings.storage import BROKER_URL

# How long Redis waits for the acknowledgement of a message before it delivers it again.
BROKER_VISIBILITY_SECONDS = env.number("BROKER_VISIBILITY_SECONDS", 600)

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A worker waits for its broker for as long as it takes.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 3
CELERY_BROKER_TRANSPORT_OPTIONS = queues.transport_options(
    BROKER_URL, visibility_seconds=BROKER_VISIBILITY_SECONDS
)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT, CELERY_TASK_TIME_LIMIT = queues.time_limits(BROKER_VISIBILITY_SECONDS)
CELERY_TASK_QUEUES = queues.TASK_QUEUES
CELERY_TASK_ROUTES = queues.TASK_ROUTES
CELERY_TASK_DEFAULT_QUEUE = queues.UPKEEP
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = queues.BEAT_SCHEDULE

# What ``manage.py relay`` goes through, in turn; each does a bounded part of what is due.
RELAY_FEEDS = {
    "provider_events": "payments.event_feeds.hand_over_events",
    "payouts": "payments.feeds.hand_over_payouts",
    "refunds": "payments.feeds.hand_over_refunds",
    "intents": "payments.feeds.hand_over_intents",
    "announcements": "webhooks.feeds.tell_endpoints",
    "deliveries": "webhooks.feeds.hand_out_deliveries",
}
# SQL functions that name those of them which have something due: asked before, many times a second.
RELAY_LOOKS = ["due_payment_feeds", "due_webhook_feeds"]
# Nothing is handed over while so many messages wait in a queue: it does not grow without workers.
RELAY_QUEUE_LIMIT = 1_000
