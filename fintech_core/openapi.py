"""Parts of the OpenAPI schema that every app uses."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers

_PROBLEM = inline_serializer(
    "Problem",
    {
        "type": serializers.CharField(),
        "title": serializers.CharField(),
        "status": serializers.IntegerField(),
        "detail": serializers.CharField(),
        "code": serializers.CharField(help_text="The stable word to program against."),
        "request_id": serializers.CharField(),
        "retryable": serializers.BooleanField(),
        "errors": serializers.DictField(
            child=serializers.ListField(child=serializers.CharField()),
            required=False,
            help_text="For 400: texts by field.",
        ),
        "codes": serializers.DictField(
            child=serializers.ListField(child=serializers.CharField()),
            required=False,
            help_text="For 400: codes by field.",
        ),
    },
)

# Every refusal has the same form (RFC 9457); 4XX and 5XX name all of them.
PROBLEMS: dict[Any, Any] = {
    (status, "application/problem+json"): OpenApiResponse(_PROBLEM, description=description)
    for status, description in (
        ("4XX", "Refused: problem details."),
        ("5XX", "Nothing was done, or the outcome is not known: problem details."),
    )
}
