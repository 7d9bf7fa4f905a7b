"""The quick way to judge a body comes to the same verdict as DRF's own."""

from typing import Any

import pytest
from rest_framework import serializers

from fintech_core.serializers import StrictSerializer, TextField


class Sample(StrictSerializer):
    name = TextField(max_length=5)
    note = TextField(required=False, allow_blank=True, allow_null=True)
    colour = TextField(default="blue")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["name"] == "bad":
            raise serializers.ValidationError({"name": ["Not this one."]}, code="named")
        return attrs


BODIES: list[Any] = [
    {"name": "Ann"},
    {"colour": "red", "name": "Ann", "note": ""},
    {"name": "Ann", "note": None},
    *({}, {"name": None}, {"name": ""}, {"name": 5}, {"name": "x" * 6, "note": 5}, {"name": "bad"}),
    *({"name": "Ann", "other": 1}, {"<b>": 1}, {"name": "\u202e"}, {"name": "a\x00"}),
    *(None, [], [{}], "name", 5, True),
]


@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_take_says_what_is_valid_says(body: Any) -> None:
    judged = Sample(data=body)
    if judged.is_valid():
        assert Sample.take(body) == judged.validated_data
        return
    with pytest.raises(serializers.ValidationError) as refusal:
        Sample.take(body)
    with pytest.raises(serializers.ValidationError) as expected:
        judged.is_valid(raise_exception=True)
    told = refusal.value.get_full_details()
    if isinstance(told, list):
        told = {"non_field_errors": told}  # As problem details name them.
    assert told == expected.value.get_full_details()


def test_one_body_leaves_nothing_behind_for_the_next() -> None:
    Sample.take({"name": "Ann", "note": "x", "colour": "red"})
    assert Sample.take({"name": "Bob"}) == {"name": "Bob", "colour": "blue"}
