"""A Celery worker as it is, but for a provider of the tests, and a way to die at the worst moment."""

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
from celery.signals import task_success
from kombu import Exchange, Queue

from fintech_core.celery import app
from tests.faults.fake_provider import from_environment


@task_success.connect
def die_before_the_acknowledgement(**_: Any) -> None:
    """Each file in the folder ``DEATHS`` is one death: all is committed, and nobody has heard of it."""
    folder = os.environ.get("DEATHS")
    for wish in Path(folder).iterdir() if folder else ():
        try:
            wish.unlink()
        except FileNotFoundError:
            continue
        # The process that ran the task, or the worker with all of its processes.
        if wish.name.startswith("all"):
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def own_queue(name: str) -> Queue:
    """A queue beside those of the settings, so that tests share a broker with nobody."""
    return Queue(name, Exchange(name), routing_key=name)


def main() -> None:
    django.setup()
    from payments.providers.registry import registered

    if queue := os.environ.get("EXTRA_QUEUE"):
        app.conf.task_queues = [*app.conf.task_queues, own_queue(queue)]
    with ExitStack() as stack:
        stack.enter_context(registered(from_environment()))
        app.worker_main(sys.argv[1:])


if __name__ == "__main__":
    main()
