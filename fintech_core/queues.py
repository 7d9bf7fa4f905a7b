"""What Celery is told: queues, who goes where, how messages are kept, and what happens by the clock.

PostgreSQL holds what is to be done; a message only says that now is the time. So a message may be lost,
late or doubled, and the broker may be Redis, or RabbitMQ where ``BROKER_URL`` says so.
"""

from datetime import timedelta
from typing import Any

from celery.schedules import crontab
from kombu import Exchange, Queue

# ``money`` waits for PostgreSQL and providers only; a receiver of webhooks that hangs delays nobody but
# others that are in trouble, on ``webhooks_slow``. A provider that hangs delays looks at what was sent
# before (``looks``), not what is to be sent or was told.
LOOKS = "looks"
UPKEEP = "upkeep"
# What may run for hours, and is acknowledged before it runs: apart, or holds would not expire meanwhile.
LONG = "long"
QUEUES = ("money", LOOKS, "webhooks", "webhooks_slow", UPKEEP, LONG)

TASK_QUEUES = tuple(Queue(name, Exchange(name), routing_key=name) for name in QUEUES)
TASK_ROUTES: dict[str, dict[str, str]] = {
    "transactions.verify_all": {"queue": LONG},
    "transactions.verify_new": {"queue": LONG},
    "payments.reconcile_recent_days": {"queue": LONG},
    "payments.verify": {"queue": LONG},
    "payments.*": {"queue": "money"},
    "webhooks.*": {"queue": "webhooks"},
    # All others go to the default queue, ``upkeep``; so does what the clock sends, unless it is long.
}

REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+socket")
AMQP_SCHEMES = ("amqp", "amqps", "pyamqp")


def scheme_of(broker_url: str) -> str:
    return broker_url.partition("://")[0].lower()


def transport_options(broker_url: str, *, visibility_seconds: int) -> dict[str, Any]:
    """How to speak with the broker, so that what was delivered and not acknowledged comes again."""
    if scheme_of(broker_url) in REDIS_SCHEMES:
        return {
            "visibility_timeout": visibility_seconds,
            # Look for what was not acknowledged each 10 s; by default it is each 100 s.
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
        }
    if scheme_of(broker_url) in AMQP_SCHEMES:
        # Published means that the broker said so.
        return {"confirm_publish": True}
    return {}


def publishing_options(options: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """The same for who only publishes, and rather gives up than waits."""
    waits = ("socket_timeout", "socket_connect_timeout")
    if "confirm_publish" in options:
        waits = ("read_timeout", "write_timeout")
    return {**options, **dict.fromkeys(waits, seconds), "max_retries": 0}


def time_limits(visibility_seconds: int) -> tuple[float, float]:
    """Seconds after which a task is told to end, and is ended: under half of the visibility timeout, so
    that a task that is delivered again is not still running."""
    return visibility_seconds / 3, visibility_seconds * 2 / 5


BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "take-checkpoint": {
        "task": "transactions.take_checkpoint",
        "schedule": crontab(minute="*/10"),
        "options": {"expires": 600},
    },
    "verify-what-is-new": {
        "task": "transactions.verify_new",
        "schedule": crontab(minute="7"),
        "options": {"expires": 600},
    },
    "expire-holds": {
        "task": "transactions.expire_holds",
        "schedule": crontab(),
        "options": {"expires": 50},
    },
    "verify-everything": {
        "task": "transactions.verify_all",
        "schedule": crontab(hour="2", minute="27"),
        "options": {"expires": 3_600},
    },
    "prune-quotes": {"task": "transactions.prune_quotes", "schedule": crontab(minute="27")},
    # Money waits for nobody to notice it: a look that comes late is dropped, the next one sees the same.
    "run-schedules": {
        "task": "transactions.run_schedules",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 25},
    },
    "expire-kyc": {"task": "users.expire_kyc", "schedule": crontab(minute="17")},
    "prune-sessions": {"task": "users.prune_sessions", "schedule": crontab(minute="37")},
    "prune-provider-events": {
        "task": "payments.prune_events",
        "schedule": crontab(minute="47"),
        "options": {"expires": 3_000},
    },
    # Once a day; the later looks make up for a provider that was away.
    "reconcile-providers": {
        "task": "payments.reconcile_recent_days",
        "schedule": crontab(hour="4-9", minute="37"),
        "options": {"expires": 3_000},
    },
    "verify-payments": {
        "task": "payments.verify",
        "schedule": crontab(hour="3", minute="37"),
        "options": {"expires": 3_600},
    },
    "prune-webhooks": {
        "task": "webhooks.prune",
        "schedule": crontab(minute="57"),
        "options": {"expires": 3_000},
    },
}
for _entry in BEAT_SCHEDULE.values():
    _is_long = TASK_ROUTES.get(_entry["task"], {}).get("queue") == LONG
    _entry.setdefault("options", {})["queue"] = LONG if _is_long else UPKEEP
