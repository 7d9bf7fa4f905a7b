"""One JSON line for each request and each event."""

from fintech_core.settings.base import env

LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "fintech_core.logs.json_formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # One line per request is written by RequestMiddleware; Django's own would be a second one.
        "django.request": {"level": "CRITICAL"},
        "django.server": {"level": "CRITICAL"},
        "django.security": {"level": "ERROR"},
        "celery.app.trace": {"level": "WARNING"},
        # Its line for each call would be a second one, and names what is called.
        "httpx": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        # Its lines for each call show the texts of errors, and those a part of the key.
        "stripe": {"level": "WARNING"},
    },
}
