"""Transfers to be made later, or again and again."""

import uuid
from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.openapi import PROBLEMS
from fintech_core.pagination import page_of, paginate
from transactions import selectors, services
from transactions.declines import RecipientNotFound
from transactions.models import Schedule
from transactions.serializers import (
    ScheduleOrderSerializer,
    SchedulePageQuery,
    ScheduleSerializer,
    represent_planned,
    represent_schedules,
)
from transactions.services import ScheduleInstruction
from transactions.views.answering import KEY_HEADER, money_request
from transactions.views.recipients import count_unknown_recipient, require_may_look
from transactions.views.transfers import instruction_of
from users.authentication import caller_of


@extend_schema(tags=["schedules"])
class ScheduleListView(APIView):
    """The caller's planned transfers."""

    @extend_schema(
        operation_id="schedule_list",
        parameters=[SchedulePageQuery],
        responses={200: page_of(ScheduleSerializer, "SchedulePage"), **PROBLEMS},
    )
    def get(self, request: HttpRequest) -> Response:
        query = SchedulePageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        rows = selectors.list_schedules_of(caller_of(request))
        if "status" in query.validated_data:
            rows = rows.filter(status=query.validated_data["status"])
        return paginate(rows, request, query=query.validated_data, represent=_represent)

    @extend_schema(
        operation_id="schedule_create",
        parameters=[KEY_HEADER],
        request=ScheduleOrderSerializer,
        responses={201: ScheduleSerializer, **PROBLEMS},
    )
    def post(self, request: HttpRequest) -> Response:
        """Plan a transfer for later, or a repeating one."""
        values = ScheduleOrderSerializer.take(request.data)
        asked = money_request(request, values)
        instruction = instruction_of(values, asked)
        require_may_look(asked, [instruction])
        try:
            planned = services.create_schedule(
                ScheduleInstruction(
                    transfer=instruction,
                    start_at=values.get("start_at"),
                    rrule=values.get("rrule", ""),
                    timezone=values.get("timezone", "UTC"),
                )
            )
        except RecipientNotFound:
            count_unknown_recipient(asked)
            raise
        headers = {"Idempotency-Replayed": "true"} if planned.is_replay else {}
        return Response(represent_planned(planned.schedule), 201, headers=headers)


@extend_schema(tags=["schedules"])
class ScheduleView(APIView):
    """One of the caller's planned transfers."""

    @extend_schema(responses={200: ScheduleSerializer, **PROBLEMS})
    def get(self, request: HttpRequest, schedule_id: uuid.UUID) -> Response:
        return _answer(selectors.get_schedule_of(caller_of(request), schedule_id))

    @extend_schema(responses={200: ScheduleSerializer, **PROBLEMS})
    def delete(self, request: HttpRequest, schedule_id: uuid.UUID) -> Response:
        """Call it off: no run of it begins after this was answered."""
        return _answer(
            services.cancel_schedule(owner_id=caller_of(request).pk, schedule_id=schedule_id)
        )


def _answer(schedule: Schedule) -> Response:
    [shown] = _represent([schedule])
    return Response(shown)


def _represent(schedules: Sequence[Schedule]) -> list[dict[str, Any]]:
    return represent_schedules(schedules, selectors.last_runs_of(schedules))
