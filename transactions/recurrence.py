"""When a scheduled transfer is due: once, or by an RFC 5545 recurrence rule in a time zone.

Rules are expanded by dateutil on the zone's own calendar, so that "at 9:00" stays at 9:00 when clocks
change. Of RFC 5545 those parts are taken that name days: a rule has at most one occurrence a day, at the
time of day it starts at, and an occurrence is known by its day.
"""

import datetime
import functools
import re
import zoneinfo
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from dateutil.rrule import rrulestr

MAX_RULE_LENGTH = 200

_NUMBERS = re.compile(r"[+-]?[0-9]{1,3}(,[+-]?[0-9]{1,3})*", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_UNTIL = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_DAYS = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_WEEK = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
# The largest number of each list; all but months may also count from the end.
_LARGEST = {"BYMONTH": 12, "BYMONTHDAY": 31, "BYSETPOS": 366}
_NAMES = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_LARGEST)

# The calendar repeats itself after so many years, week days included.
_CYCLE = 400
_LEAST_YEARS_LEFT = 100


class InvalidRule(ValueError):
    """The text is no rule that is taken here; it says why and may be shown."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule: ``days`` is all of it but its end, as dateutil takes it."""

    days: str
    count: int | None
    until: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time at which a schedule is due: its day in the schedule's zone, and the moment."""

    day: datetime.date
    due_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Recurrence:
    """All occurrences of a schedule; ``rrule`` is empty where there is one, at ``start_at``."""

    start_at: datetime.datetime
    rrule: str
    timezone: str

    def occurrences(self) -> Iterator[Occurrence]:
        """In order, from ``start_at`` on.

        A day that a month does not have, and a time that a day does not have because clocks go forward,
        is no occurrence and is not counted; of a time that a day has twice, the first is meant
        (RFC 5545, 3.3.5 and 3.3.10).
        """
        zone = zoneinfo.ZoneInfo(self.timezone)
        start = self.start_at.astimezone(zone)
        if not self.rrule:
            yield Occurrence(start.date(), self.start_at)
            return
        rule = parse_rule(self.rrule)
        for local in islice(_existing(_days(rule, start), zone), rule.count):
            # A start at the second of two such times is meant as it was given.
            due_at = max(local.astimezone(datetime.UTC), self.start_at)
            if rule.until is not None and due_at > rule.until:
                return
            yield Occurrence(local.date(), due_at)

    def first(self) -> Occurrence | None:
        """The first occurrence; None for a rule that never has one."""
        return next(self.occurrences(), None)

    def day_of(self, due_at: datetime.datetime) -> datetime.date:
        """Which day an occurrence belongs to."""
        return due_at.astimezone(zoneinfo.ZoneInfo(self.timezone)).date()

    def after(self, day: datetime.date) -> Occurrence | None:
        """The next occurrence on a later day; None where that was the last."""
        return next((found for found in self.occurrences() if found.day > day), None)


def _days(rule: Rule, start: datetime.datetime) -> Iterator[datetime.datetime]:
    """The rule's local times, from the start on, whatever clocks do.

    dateutil looks for the next match until the year 9999, which takes it seconds where there is none. So
    it is asked in the last of the calendar's cycles that it knows, where it comes to that end at once.
    """
    years = (datetime.MAXYEAR - _LEAST_YEARS_LEFT - start.year) // _CYCLE * _CYCLE
    first = start.replace(tzinfo=None, fold=0, year=start.year + years)
    found: Iterable[datetime.datetime] = rrulestr(rule.days, dtstart=first)
    return (local.replace(year=local.year - years) for local in found)


def _existing(
    days: Iterable[datetime.datetime], zone: zoneinfo.ZoneInfo
) -> Iterator[datetime.datetime]:
    """Those that a clock in the zone shows at some moment, with the zone."""
    for naive in days:
        local = naive.replace(tzinfo=zone)
        shown = local.astimezone(datetime.UTC).astimezone(zone)
        if shown.replace(tzinfo=None, fold=0) == naive:
            yield local


def parse_rule(text: str) -> Rule:
    """A recurrence rule (RFC 5545, 3.3.10) of days: FREQ from DAILY to YEARLY, INTERVAL, COUNT or UNTIL,
    BYMONTH, BYMONTHDAY, BYDAY, BYSETPOS, WKST.

    Raises ``InvalidRule`` for anything else, and for what the RFC forbids.
    """
    if len(text) > MAX_RULE_LENGTH:
        raise InvalidRule(f"A rule has at most {MAX_RULE_LENGTH} characters.")
    parts = _parts(text.upper() if text.isascii() else text)
    _require_fitting(parts)
    until = parts.pop("UNTIL", None)
    count = parts.pop("COUNT", None)
    return Rule(
        days=";".join(f"{name}={value}" for name, value in parts.items()),
        count=int(count) if count else None,
        until=_moment(until) if until else None,
    )


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, separator, value = part.partition("=")
        if not separator or name not in _NAMES:
            raise InvalidRule(
                f"A rule is made of NAME=VALUE, with these names: {', '.join(_NAMES)}."
            )
        if name in parts:
            raise InvalidRule(f"{name} stands in a rule once.")
        if not _is_value(name, value):
            raise InvalidRule(f"{name} has no value that is taken here.")
        parts[name] = value
    return parts


def _is_value(name: str, value: str) -> bool:
    if name == "FREQ":
        return value in _FREQUENCIES
    if name == "WKST":
        return value in _WEEK
    if name in {"COUNT", "INTERVAL"}:
        return bool(_COUNT.fullmatch(value))
    if name == "UNTIL":
        return bool(_UNTIL.fullmatch(value))
    if name == "BYDAY":
        return all(_is_day(day) for day in value.split(","))
    least = 1 if name == "BYMONTH" else -_LARGEST[name]
    return bool(_NUMBERS.fullmatch(value)) and all(
        number and least <= number <= _LARGEST[name] for number in map(int, value.split(","))
    )


def _is_day(text: str) -> bool:
    found = _DAYS.fullmatch(text)
    return found is not None and (not found[1] or 1 <= abs(int(found[1])) <= 53)


def _require_fitting(parts: dict[str, str]) -> None:
    """Refuse what RFC 5545 says must not stand together."""
    frequency = parts.get("FREQ")
    if frequency is None:
        raise InvalidRule("A rule says its FREQ.")
    if "COUNT" in parts and "UNTIL" in parts:
        raise InvalidRule("A rule ends by COUNT or by UNTIL, not both.")
    if "BYMONTHDAY" in parts and frequency == "WEEKLY":
        raise InvalidRule("BYMONTHDAY does not go with FREQ=WEEKLY.")
    if frequency in {"DAILY", "WEEKLY"} and re.search("[0-9]", parts.get("BYDAY", "")):
        raise InvalidRule(f"BYDAY has no numbers with FREQ={frequency}.")
    if "BYSETPOS" in parts and not parts.keys() & {"BYDAY", "BYMONTH", "BYMONTHDAY"}:
        raise InvalidRule("BYSETPOS selects from what another BY... part names.")


def _moment(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise InvalidRule("UNTIL is a moment in UTC, such as 20271231T235959Z.") from None


@functools.cache
def time_zones() -> frozenset[str]:
    """The names of the IANA time zone database that is installed."""
    return frozenset(zoneinfo.available_timezones())
