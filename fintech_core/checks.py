"""What ``manage.py check`` says of Celery: no process starts where work would be lost or doubled."""

import itertools
from importlib import import_module
from typing import Any

from celery import Celery
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string, module_has_submodule

from fintech_core import queues


@register
def celery_is_sound(**_: Any) -> list[CheckMessage]:
    """An error for each setting under which a task could be lost, run side by side, or carry code."""
    problems = [*_problems_of_broker(), *_problems_of_tasks()]
    problems += [*_problems_of_beat(), *_problems_of_feeds()]
    return [Error(text, id=f"fintech_core.E{number:03}") for number, text in problems]


def _problems_of_broker() -> list[tuple[int, str]]:
    scheme = queues.scheme_of(settings.BROKER_URL)
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    problems = []
    if scheme not in queues.REDIS_SCHEMES + queues.AMQP_SCHEMES:
        problems.append((1, "BROKER_URL must be redis://, rediss://, unix:// or amqp(s)://."))
    elif scheme in queues.REDIS_SCHEMES and "visibility_timeout" not in options:
        problems.append((2, "Redis as the broker needs a visibility_timeout."))
    elif scheme in queues.AMQP_SCHEMES and not options.get("confirm_publish"):
        problems.append((3, "RabbitMQ as the broker needs confirm_publish."))
    if settings.BROKER_VISIBILITY_SECONDS < 3:
        problems.append((4, "BROKER_VISIBILITY_SECONDS must be 3 or more."))
    if settings.CELERY_ACCEPT_CONTENT != ["json"] or settings.CELERY_TASK_SERIALIZER != "json":
        problems.append((5, "Messages are JSON only: who can write to the broker runs no code."))
    return problems


def _problems_of_tasks() -> list[tuple[int, str]]:
    """Of every task: queue, acknowledgement, and a limit under half of the visibility timeout.

    A task that is acknowledged before it runs is not delivered again, so it may take longer.
    """
    problems = []
    if not settings.CELERY_TASK_REJECT_ON_WORKER_LOST:
        problems.append((6, "CELERY_TASK_REJECT_ON_WORKER_LOST is off."))
    if settings.CELERY_WORKER_PREFETCH_MULTIPLIER != 1:
        problems.append((7, "CELERY_WORKER_PREFETCH_MULTIPLIER must be 1."))
    half = settings.BROKER_VISIBILITY_SECONDS / 2
    for name, task in _tasks().items():
        limit = task.time_limit or settings.CELERY_TASK_TIME_LIMIT
        if task.acks_late == (_queue_of(name) == queues.LONG):
            problems.append((8, f"{name}: what is acknowledged early is on {queues.LONG}, alone."))
        if task.acks_late and not limit < half:
            problems.append((9, f"{name} may take {limit} s, not under half of the visibility."))
    return problems


def _problems_of_beat() -> list[tuple[int, str]]:
    """What the clock sends is upkeep, and what is long never stands before it."""
    problems = []
    known = _tasks()
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        if entry["task"] not in known:
            problems.append((10, f"CELERY_BEAT_SCHEDULE[{name!r}] names no task."))
            continue
        queue = queues.UPKEEP if known[entry["task"]].acks_late else queues.LONG
        if entry.get("options", {}).get("queue") != queue:
            problems.append((11, f"CELERY_BEAT_SCHEDULE[{name!r}] is not for the queue {queue}."))
    return problems


def _queue_of(task: str) -> str:
    """Where it goes by its name."""
    return str(_celery().amqp.router.route({}, task)["queue"].name)


def _tasks() -> dict[str, Any]:
    """Every task of ours by name. Not by Celery's own loader: that runs these checks itself."""
    from fintech_core.celery import TASK_MODULES

    for config, name in itertools.product(apps.get_app_configs(), TASK_MODULES):
        if module_has_submodule(config.module, name):
            import_module(f"{config.name}.{name}")
    found = _celery().tasks.items()
    return {name: task for name, task in found if not name.startswith("celery.")}


def _celery() -> Celery:
    from fintech_core.celery import app

    return app


def _problems_of_feeds() -> list[tuple[int, str]]:
    problems = []
    for path in settings.RELAY_FEEDS.values():
        try:
            import_string(path)
        except ImportError as error:
            problems.append((12, f"RELAY_FEEDS: {error}"))
    if settings.RELAY_QUEUE_LIMIT < 1:
        problems.append((13, "RELAY_QUEUE_LIMIT must be 1 or more."))
    return problems
