"""The Celery application. Tasks are found in each app's ``tasks`` and ``event_tasks``."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fintech_core.settings")

app = Celery("fintech_core")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="event_tasks")


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Workers log through Django's ``LOGGING``, so that every process writes the same JSON lines."""
    from logging.config import dictConfig

    from django.conf import settings

    dictConfig(settings.LOGGING)
