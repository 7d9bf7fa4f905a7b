"""No process starts with a combination of settings under which work is lost or doubled."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fintech_core import queues
from fintech_core.celery import app
from fintech_core.checks import celery_is_sound
from fintech_core.embedded.folders import DataFolder
from fintech_core.embedded.services import background
from fintech_core.queues import transport_options
from tests.faults.brokers import ROOT, worker_command


def found() -> list[str]:
    return [str(problem.id).removeprefix("fintech_core.") for problem in celery_is_sound()]


def test_the_settings_are_sound() -> None:
    assert celery_is_sound() == []


@pytest.mark.parametrize("url", ["amqp://guest@localhost//", "redis://localhost:6379/1"])
def test_either_broker_is_sound(settings: Any, url: str) -> None:
    settings.BROKER_URL = url
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = transport_options(url, visibility_seconds=600)
    assert found() == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("BROKER_URL", "sqs://queue", "E001"),
        ("CELERY_BROKER_TRANSPORT_OPTIONS", {}, "E002"),
        ("BROKER_VISIBILITY_SECONDS", 2, "E004"),
        ("CELERY_ACCEPT_CONTENT", ["json", "pickle"], "E005"),
        ("CELERY_TASK_REJECT_ON_WORKER_LOST", False, "E006"),
        ("CELERY_WORKER_PREFETCH_MULTIPLIER", 4, "E007"),
        # The tasks' limits outlast half of it.
        ("BROKER_VISIBILITY_SECONDS", 400, "E009"),
        ("CELERY_BEAT_SCHEDULE", {"x": {"task": "no.such"}}, "E010"),
        ("CELERY_BEAT_SCHEDULE", {"x": {"task": "users.expire_kyc"}}, "E011"),
        (
            "CELERY_BEAT_SCHEDULE",
            {"x": {"task": "payments.verify", "options": {"queue": "upkeep"}}},
            "E011",
        ),
        ("RELAY_FEEDS", {"events": "payments.event_feeds.no_such"}, "E012"),
        ("RELAY_QUEUE_LIMIT", 0, "E013"),
    ],
)
def test_a_broken_combination_is_refused(
    settings: Any, name: str, value: Any, problem: str
) -> None:
    setattr(settings, name, value)
    assert problem in found()


def test_rabbitmq_without_confirms_is_refused(settings: Any) -> None:
    settings.BROKER_URL, settings.CELERY_BROKER_TRANSPORT_OPTIONS = "amqp://localhost", {}
    assert found() == ["E003"]


@pytest.mark.parametrize("seconds", [3, 60, 600, 86_400])
def test_time_limits_are_under_half_of_the_visibility_timeout(seconds: int) -> None:
    soft, hard = queues.time_limits(seconds)
    assert soft < hard < seconds / 2


def test_tasks_go_to_their_queues_by_name() -> None:
    def queue(task: str) -> str:
        return str(app.amqp.router.route({}, task)["queue"].name)

    assert queue("payments.handle_event") == "money"
    assert queue("webhooks.deliver") == "webhooks"
    assert queue("transactions.expire_holds") == "upkeep"
    assert queue("payments.verify") == "long"


def test_what_may_take_hours_keeps_nothing_waiting() -> None:
    """Neither money nor what the clock sends each minute; so it is where nothing else is."""
    by_queue: dict[str, set[str]] = {}
    for entry in queues.BEAT_SCHEDULE.values():
        by_queue.setdefault(entry["options"]["queue"], set()).add(entry["task"])
    assert set(by_queue) == {"upkeep", "long"}
    assert {"transactions.expire_holds", "transactions.run_schedules"} <= by_queue["upkeep"]
    long = {"transactions.verify_all", "transactions.verify_new"}
    assert by_queue["long"] == long | {"payments.verify", "payments.reconcile_recent_days"}


def test_a_task_that_is_acknowledged_early_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("users.expire_kyc", "payments.check_payout"):
        with monkeypatch.context() as patched:
            patched.setattr(app.tasks[name], "acks_late", False)
            assert "E008" in found()
    with monkeypatch.context() as patched:
        patched.setattr(app.tasks["payments.verify"], "acks_late", True)
        assert "E008" in found()


def test_what_is_long_has_a_worker_of_its_own_that_ends_it_in_time(tmp_path: Path) -> None:
    started = [[*map(str, one.command)] for one in background(DataFolder(tmp_path), {})]
    read = [command[command.index("-Q") + 1].split(",") for command in started if "-Q" in command]
    assert sorted(queue for some in read for queue in some) == sorted(queues.QUEUES)
    assert ["long"] in read
    # A time limit ends a process and no thread.
    [command] = [command for command in started if "long" in command]
    assert "-P" not in command


def test_a_worker_does_not_start_with_a_broken_combination() -> None:
    done = subprocess.run(
        [sys.executable, *worker_command()],
        cwd=ROOT,
        env={**os.environ, "BROKER_VISIBILITY_SECONDS": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "fintech_core.E004" in done.stderr
