"""A runner of schedules is killed around its commit: whoever runs next makes up for it, once."""

import datetime
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection

from tests.faults.platform import ROOT
from transactions import services
from transactions.models import ScheduleRun, Transaction
from transactions.services.schedules import ScheduleInstruction
from transactions.tests.factories import balance_of, instruct, make_payee, make_payer

pytestmark = pytest.mark.usefixtures("committed")

# A process that kills itself, as kill -9 would, around the commit of its first run.
_RUNNER = """
import os, signal, sys
import django
django.setup()
from django.db.backends.base.base import BaseDatabaseWrapper
from transactions import services
from transactions.services import schedules

original, record = BaseDatabaseWrapper._commit, schedules._record
recorded = False

def mark(*arguments):
    global recorded
    record(*arguments)
    recorded = True
    if sys.argv[1] == "before the commit":
        os.kill(os.getpid(), signal.SIGKILL)

def commit(self):
    original(self)
    if recorded:
        os.kill(os.getpid(), signal.SIGKILL)

schedules._record, BaseDatabaseWrapper._commit = mark, commit
services.run_due_schedules()
"""


def die_running(when: str) -> int:
    """Run what is due in a process of its own that dies; returns how it ended."""
    address = urlsplit(settings.DATABASE_URL)
    name = str(connection.settings_dict["NAME"])
    environment = {
        **os.environ,
        "DATABASE_URL": urlunsplit(address._replace(path=f"/{name}")),
        "DJANGO_SETTINGS_MODULE": "fintech_core.settings",
    }
    command = [sys.executable, "-c", _RUNNER, when]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


@pytest.mark.parametrize(("when", "left"), [("before the commit", 0), ("after the commit", 1)])
def test_a_killed_runner_leaves_all_of_a_run_or_nothing(when: str, left: int) -> None:
    payer, payee = make_payer("10.00"), make_payee()
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    schedule = services.create_schedule(
        ScheduleInstruction(
            transfer=instruct(payer, payee, "3.00"),
            start_at=now - datetime.timedelta(seconds=1),
            rrule="FREQ=DAILY",
            timezone="UTC",
        )
    ).schedule
    assert die_running(when) == -signal.SIGKILL
    runs = ScheduleRun.objects.filter(schedule=schedule)
    assert runs.count() == Transaction.objects.filter(initiated_by=payer).count() == left
    services.run_due_schedules()
    assert runs.count() == Transaction.objects.filter(initiated_by=payer).count() == 1
    assert (balance_of(payer), balance_of(payee)) == ("7.00", "3.00")
