"""PostgreSQL, which holds everything, and Redis, which holds nothing that would be missed."""

from typing import Any

import dj_database_url

from fintech_core.settings.base import env

# Two roles: the application's own, with no right to change the ledger, and the owner, for migrations.
DATABASE_URL = env.required("DATABASE_URL", development="postgres://localhost/fintech_core")
DATABASE_OWNER_URL = env.text("DATABASE_OWNER_URL", DATABASE_URL)
CONNECT_AS_OWNER = env.text("DATABASE_CONNECT_AS") == "owner"


def database(url: str, *, as_owner: bool = False) -> dict[str, Any]:
    """Django's settings for one database URL, with every wait bounded.

    The owner's statements are not: building an index takes as long as it takes.
    """
    config: dict[str, Any] = dict(dj_database_url.parse(url, conn_health_checks=True))
    if config.get("ENGINE") != "django.db.backends.postgresql":
        env.problem("DATABASE_URL must be a postgres:// URL.")
        return config
    timeouts = {"lock_timeout": 2_000, "statement_timeout": 5_000}
    if as_owner:
        timeouts = {"lock_timeout": 5_000, "statement_timeout": 0}
    timeouts["idle_in_transaction_session_timeout"] = 10_000
    # The ledger's functions reach tables by index only, by making all else look dear: so PostgreSQL would
    # compile each statement in them anew, every time: 300 ms for a posting of 3 ms.
    session: dict[str, Any] = {**timeouts, "jit": "off"}
    config["CONN_MAX_AGE"] = None
    config["OPTIONS"] = {
        **config.get("OPTIONS", {}),
        "connect_timeout": 3,
        "tcp_user_timeout": 5_000,
        "keepalives_idle": 10,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": "fintech_core",
        "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
    }
    return config


DATABASES = {
    "default": database(
        DATABASE_OWNER_URL if CONNECT_AS_OWNER else DATABASE_URL, as_owner=CONNECT_AS_OWNER
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.required("REDIS_URL", development="redis://localhost:6379/0")
BROKER_URL = env.text("BROKER_URL", REDIS_URL)

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "fintech",
        "OPTIONS": {
            # Never pickle: whoever can write to Redis must not be able to run code here.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_TIMEOUT": 0.5,
            "SOCKET_CONNECT_TIMEOUT": 0.5,
        },
    }
}
