"""When schedules are due: the calendar of RFC 5545 in a time zone, and rules that cannot be."""

import datetime
import time
from itertools import islice

import pytest

from transactions.recurrence import InvalidRule, Recurrence, parse_rule, time_zones


def due(start: str, rrule: str, timezone: str = "UTC", most: int = 5) -> list[str]:
    """The first occurrences, in UTC."""
    recurrence = Recurrence(datetime.datetime.fromisoformat(start), rrule, timezone)
    found = islice(recurrence.occurrences(), most)
    times = [occurrence.due_at.astimezone(datetime.UTC) for occurrence in found]
    return [moment.strftime("%Y-%m-%dT%H:%MZ") for moment in times]


def test_without_a_rule_there_is_one_occurrence() -> None:
    assert due("2027-01-31T09:00:00+01:00", "") == ["2027-01-31T08:00Z"]
    recurrence = Recurrence(datetime.datetime.fromisoformat("2027-01-31T09:00:00+01:00"), "", "UTC")
    [only] = recurrence.occurrences()
    assert only.due_at == recurrence.start_at
    assert recurrence.after(only.day) is None


def test_nine_oclock_stays_nine_oclock_when_clocks_change() -> None:
    assert due("2027-03-27T09:00:00+01:00", "FREQ=DAILY;COUNT=3", "Europe/Berlin") == [
        "2027-03-27T08:00Z",
        "2027-03-28T07:00Z",
        "2027-03-29T07:00Z",
    ]
    assert due("2027-10-30T09:00:00+02:00", "FREQ=DAILY;COUNT=2", "Europe/Berlin") == [
        "2027-10-30T07:00Z",
        "2027-10-31T08:00Z",
    ]


def test_a_time_that_a_day_does_not_have_is_no_occurrence_and_not_counted() -> None:
    """RFC 5545, 3.3.10; on 2027-03-28 there is no 2:30 in Berlin."""
    assert due("2027-03-27T02:30:00+01:00", "FREQ=DAILY;COUNT=3", "Europe/Berlin") == [
        "2027-03-27T01:30Z",
        "2027-03-29T00:30Z",
        "2027-03-30T00:30Z",
    ]


def test_of_a_time_that_a_day_has_twice_the_first_is_meant() -> None:
    """RFC 5545, 3.3.5; on 2027-10-31 there is 2:30 twice in Berlin."""
    assert due("2027-10-30T02:30:00+02:00", "FREQ=DAILY;COUNT=3", "Europe/Berlin") == [
        "2027-10-30T00:30Z",
        "2027-10-31T00:30Z",
        "2027-11-01T01:30Z",
    ]


def test_a_start_at_the_second_of_two_such_times_is_meant_as_given() -> None:
    assert due("2027-10-31T02:30:00+01:00", "FREQ=DAILY;COUNT=2", "Europe/Berlin") == [
        "2027-10-31T01:30Z",
        "2027-11-01T01:30Z",
    ]


@pytest.mark.parametrize(
    ("rrule", "days"),
    [
        ("FREQ=MONTHLY", ["01-31", "03-31", "05-31", "07-31", "08-31"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", ["01-31", "02-28", "03-31", "04-30", "05-31"]),
        ("FREQ=MONTHLY;BYDAY=-1FR", ["02-26", "03-26", "04-30", "05-28", "06-25"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["02-26", "03-31", "04-30", "05-31"]),
        ("FREQ=MONTHLY;BYMONTHDAY=1;COUNT=2", ["02-01", "03-01"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;UNTIL=20270301T120000Z", ["02-08", "02-22"]),
        ("FREQ=DAILY;UNTIL=20270202T120000Z", ["01-31", "02-01", "02-02"]),
        ("FREQ=DAILY;UNTIL=20270202T115959Z", ["01-31", "02-01"]),
        ("freq=yearly;count=1", ["01-31"]),
    ],
)
def test_rules_name_the_days_that_the_rfc_says(rrule: str, days: list[str]) -> None:
    found = due("2027-01-31T12:00:00+00:00", rrule, most=len(days) if "COUNT" not in rrule else 9)
    assert found[: len(days)] == [f"2027-{day}T12:00Z" for day in days]
    if "COUNT" in rrule or "UNTIL" in rrule:
        assert len(due("2027-01-31T12:00:00+00:00", rrule, most=99)) == len(days)


def test_the_29th_of_february_comes_in_leap_years_and_not_in_2100() -> None:
    found = due("2092-02-29T00:00:00+00:00", "FREQ=YEARLY", most=3)
    assert [day[:10] for day in found] == ["2092-02-29", "2096-02-29", "2104-02-29"]


NEVER = [
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MONTHLY;BYMONTH=4;BYMONTHDAY=31",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
    "FREQ=YEARLY;BYMONTH=1;BYSETPOS=366;BYDAY=MO",
    "FREQ=WEEKLY;BYMONTH=2;BYDAY=MO;BYSETPOS=7",
    "FREQ=DAILY;UNTIL=20200101T000000Z",
]


@pytest.mark.parametrize("rrule", NEVER)
def test_a_rule_that_never_comes_is_found_out_at_once(rrule: str) -> None:
    started = time.process_time()
    assert due("2027-02-01T09:00:00+00:00", rrule) == []
    assert time.process_time() - started < 1


def test_after_the_last_there_is_none() -> None:
    recurrence = Recurrence(
        datetime.datetime(2027, 1, 1, 9, tzinfo=datetime.UTC), "FREQ=DAILY;COUNT=2", "UTC"
    )
    assert recurrence.after(datetime.date(2026, 12, 31)) == recurrence.first()
    following = recurrence.after(datetime.date(2027, 1, 1))
    assert following
    assert following.day == datetime.date(2027, 1, 2)
    assert recurrence.after(following.day) is None


BAD = [
    *("", "DAILY", "FREQ", "FREQ=", "RRULE:FREQ=DAILY", "FREQ=DAILY;", ";FREQ=DAILY"),
    *("FREQ=HOURLY", "FREQ=SECONDLY", "FREQ=DAILY;FREQ=DAILY", "COUNT=3", "FREQ=DAILY;COUNT=0"),
    *("FREQ=DAILY;COUNT=10000", "FREQ=DAILY;COUNT=-1", "FREQ=DAILY;COUNT=1;UNTIL=20990101T000000Z"),
    *("FREQ=DAILY;UNTIL=20990101", "FREQ=DAILY;UNTIL=20990101T000000", "FREQ=DAILY;UNTIL=x"),
    *("FREQ=DAILY;UNTIL=20991301T000000Z", "FREQ=DAILY;BYHOUR=9", "FREQ=DAILY;BYSECOND=1,2"),
    *("FREQ=DAILY;BYEASTER=0", "FREQ=YEARLY;BYWEEKNO=1", "FREQ=YEARLY;BYYEARDAY=1"),
    *("FREQ=DAILY;BYMONTH=0", "FREQ=DAILY;BYMONTH=13", "FREQ=DAILY;BYMONTH=-1"),
    *("FREQ=MONTHLY;BYMONTHDAY=32", "FREQ=MONTHLY;BYMONTHDAY=0", "FREQ=MONTHLY;BYMONTHDAY=1,"),
    *("FREQ=WEEKLY;BYMONTHDAY=1", "FREQ=WEEKLY;BYDAY=1MO", "FREQ=DAILY;BYDAY=XX"),
    *("FREQ=MONTHLY;BYDAY=0MO", "FREQ=MONTHLY;BYDAY=54MO", "FREQ=DAILY;BYSETPOS=1"),
    *("FREQ=DAILY;WKST=1", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;X-FOO=1", "FREQ=DAILY\nCOUNT=1"),
    *(
        "FREQ=DAILY;COUNT=１",
        "FREQ=DAıLY",
        "FREQ=DAILY ",
        "FREQ=DAILY;BYDAY=" + ",".join(["MO"] * 99),
    ),
]


@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text)[:40])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidRule):
        parse_rule(text)


def test_only_names_of_the_iana_database_are_time_zones() -> None:
    assert {"Europe/Berlin", "UTC", "America/New_York"} <= time_zones()
    assert not {"", "berlin", "Europe", "../etc/passwd", "+02:00"} & time_zones()
