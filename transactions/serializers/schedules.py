"""Schedules as the API takes and shows them."""

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.money import format_amount
from fintech_core.pagination import PageQueryMixin
from fintech_core.serializers import (
    QuerySerializer,
    TextField,
    TimeField,
    UTCDateTimeField,
    format_time,
)
from transactions.models import RunStatus, Schedule, ScheduleRun, ScheduleStatus
from transactions.recurrence import MAX_RULE_LENGTH, InvalidRule, parse_rule, time_zones
from transactions.serializers.transfers import PaymentSerializer


class StartField(TimeField):
    """A moment of whole seconds, with its offset: recurrence rules know no smaller part."""

    default_error_messages = {"not_whole": "Send whole seconds."}

    def to_internal_value(self, value: Any) -> datetime.datetime:
        moment = super().to_internal_value(value)
        if moment.microsecond:
            self.fail("not_whole")
        return moment


@extend_schema_field({"type": "string", "example": "FREQ=MONTHLY;BYMONTHDAY=1;COUNT=12"})
class RuleField(TextField):
    """A recurrence rule (RFC 5545) of days."""

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        try:
            parse_rule(value)
        except InvalidRule as error:
            raise serializers.ValidationError(str(error), code="invalid_rule") from None
        return value


@extend_schema_field({"type": "string", "example": "Europe/Berlin"})
class TimeZoneField(TextField):
    """The name of a time zone (IANA)."""

    default_error_messages = {"unknown_zone": "This is no IANA time zone, such as Europe/Berlin."}

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if value not in time_zones():
            self.fail("unknown_zone")
        return value


class ScheduleOrderSerializer(PaymentSerializer):
    """A transfer to be made at ``start_at``, by ``rrule`` from now on, or by ``rrule`` from there on."""

    default_error_messages = {"no_time": "Give start_at, rrule, or both."}

    start_at = StartField(required=False)
    rrule = RuleField(required=False, max_length=MAX_RULE_LENGTH)
    timezone = TimeZoneField(required=False, max_length=64)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "start_at" not in attrs and "rrule" not in attrs:
            raise serializers.ValidationError(
                {"start_at": [self.error_messages["no_time"]]}, code="no_time"
            )
        return super().validate(attrs)


class RunSerializer(serializers.Serializer[ScheduleRun]):
    """What became of one occurrence."""

    occurrence = serializers.DateField(help_text="The day it is for, in the schedule's time zone.")
    due_at = UTCDateTimeField()
    status = serializers.ChoiceField(RunStatus.choices)
    transaction = serializers.UUIDField(allow_null=True)
    code = serializers.CharField(allow_null=True, help_text="Why it was declined, or failed.")
    created_at = UTCDateTimeField()


class ScheduleSerializer(serializers.Serializer[Schedule]):
    """A transfer that is planned, and its last runs, newest first."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(ScheduleStatus.choices)
    next_run_at = UTCDateTimeField(allow_null=True)
    start_at = UTCDateTimeField()
    rrule = serializers.CharField(allow_null=True)
    timezone = serializers.CharField()
    to_user_email = serializers.EmailField(allow_null=True)
    to_phone = serializers.CharField(allow_null=True)
    to_wallet = serializers.UUIDField(allow_null=True)
    from_wallet = serializers.UUIDField()
    amount = serializers.CharField()
    currency = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    metadata = serializers.DictField(child=serializers.CharField())
    runs = RunSerializer(many=True)
    created_at = UTCDateTimeField()
    canceled_at = UTCDateTimeField(allow_null=True)


class SchedulePageQuery(PageQueryMixin, QuerySerializer):
    """Query parameters of the list."""

    status = serializers.ChoiceField(ScheduleStatus.choices, required=False)


def represent_planned(schedule: Schedule) -> dict[str, Any]:
    """The schedule as it was when it was made: the same for the first request and for every retry."""
    return {
        **_what_was_asked(schedule),
        "status": str(ScheduleStatus.ACTIVE),
        "next_run_at": format_time(schedule.first_run_at),
        "canceled_at": None,
        "runs": [],
    }


def represent_schedules(
    schedules: Sequence[Schedule], runs: Mapping[uuid.UUID, Sequence[ScheduleRun]]
) -> list[dict[str, Any]]:
    """Schedules as they are now, each with these runs."""
    return [
        {
            **_what_was_asked(schedule),
            "status": str(schedule.status),
            "next_run_at": _time(schedule.next_run_at),
            "canceled_at": _time(schedule.canceled_at),
            "runs": [_represent_run(run) for run in runs.get(schedule.pk, ())],
        }
        for schedule in schedules
    ]


def _what_was_asked(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": str(schedule.pk),
        "start_at": format_time(schedule.start_at),
        "rrule": schedule.rrule or None,
        "timezone": schedule.timezone,
        "to_user_email": schedule.to_user_email or None,
        "to_phone": schedule.to_phone or None,
        "to_wallet": str(schedule.to_wallet_id) if schedule.to_wallet_id else None,
        "from_wallet": str(schedule.from_wallet_id),
        "amount": format_amount(schedule.amount, schedule.currency),
        "currency": schedule.currency,
        "description": schedule.description,
        "metadata": schedule.metadata,
        "created_at": format_time(schedule.created_at),
    }


def _represent_run(run: ScheduleRun) -> dict[str, Any]:
    return {
        "occurrence": run.occurrence.isoformat(),
        "due_at": format_time(run.due_at),
        "status": str(run.status),
        "transaction": str(run.transaction_id) if run.transaction_id else None,
        "code": run.code or None,
        "created_at": format_time(run.created_at),
    }


def _time(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
