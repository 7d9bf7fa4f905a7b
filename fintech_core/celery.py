"""The Celery application. Tasks are found in each app's modules of ``TASK_MODULES``."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fintech_core.settings")

app = Celery("fintech_core")
app.config_from_object("django.conf:settings", namespace="CELERY")
TASK_MODULES = ("tasks", "event_tasks", "reconciliation_tasks")
for _name in TASK_MODULES:
    app.autodiscover_tasks(related_name=_name)


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Workers log through Django's ``LOGGING``, so that every process writes the same JSON lines."""
    from logging.config import dictConfig

    from django.conf import settings

    dictConfig(settings.LOGGING)


@worker_init.connect
@beat_init.connect
def refuse_to_start_unsound(**_: Any) -> None:
    """No worker starts with what ``manage.py check`` calls an error of Celery's settings."""
    import django

    django.setup()
    from fintech_core.checks import celery_is_sound

    if problems := celery_is_sound():
        # Celery goes on after any other exception of a signal's receiver.
        sys.exit("\n".join(str(problem) for problem in problems))
