"""Reading schedules and what became of their runs, always by whose they are."""

import uuid
from collections import defaultdict
from collections.abc import Sequence

from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber

from fintech_core.exceptions import NotFound
from transactions.models import Schedule, ScheduleRun
from users.models import User

# How many of its runs a schedule tells.
RUNS_TOLD = 10


def list_schedules_of(user: User) -> QuerySet[Schedule]:
    """The user's own schedules."""
    return Schedule.objects.filter(owner_id=user.pk)


def get_schedule_of(user: User, schedule_id: uuid.UUID) -> Schedule:
    """One of the user's own schedules. Raises ``NotFound`` for anybody else's."""
    schedule = list_schedules_of(user).filter(pk=schedule_id).first()
    if schedule is None:
        raise NotFound
    return schedule


def last_runs_of(schedules: Sequence[Schedule]) -> dict[uuid.UUID, list[ScheduleRun]]:
    """The last runs of each, newest first, in one query."""
    place = Window(RowNumber(), partition_by=[F("schedule_id")], order_by=F("occurrence").desc())
    runs = ScheduleRun.objects.filter(schedule_id__in=[schedule.pk for schedule in schedules])
    found: dict[uuid.UUID, list[ScheduleRun]] = defaultdict(list)
    for run in runs.annotate(place=place).filter(place__lte=RUNS_TOLD).order_by("-occurrence"):
        found[run.schedule_id].append(run)
    return found
