"""The quick ways to read a transfer and to name it come to what the long ones do."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from fintech_core.serializers import StrictSerializer
from transactions.idempotency import fingerprint
from transactions.serializers import TransferSerializer
from transactions.serializers.transfers import _plain

GOOD = {"to_user_email": "Ann@Example.com", "amount": "5.00", "idempotency_key": "k"}
VALUES: dict[str, list[Any]] = {
    "to_user_email": [
        *(
            "ann@example.com",
            "ANN@example.COM",
            " ann@example.com",
            "ann@example",
            "änn@example.com",
        ),
        *("", "ann", "a\x00@example.com", f"{'a' * 65}@example.com", "a@" + "b" * 260 + ".com"),
    ],
    "amount": [
        *("0.01", "1", "999999999999", "1000000000000", "0", "0.00", "1.234", "1.23456", "-1"),
        *("1e2", " 1", "1 ", "١", "1_0", "", "0." + "1" * 31, "0." + "1" * 30, "01", ".5", "5."),
    ],
    "currency": ["USD", "JPY", "KWD", "usd", "XXX", "", "USD ", "US\x00"],
    "description": [
        "",
        " ",
        "tea",
        "tea\n",
        "Tee für zwei",
        "x" * 500,
        "x" * 501,
        "\u202e",
        "a\x00",
    ],
    "idempotency_key": ["k", "", " ", "ä", "k" * 256, "\ud800"],
    "hold": [True, False, "true"],
    "expires_in": [60, 0, "60"],
    "to_wallet": ["0190a5b8-7c6e-7c3b-9c1a-2f6f3a8d9e01", "x"],
    "to_phone": ["+16502530000", "1"],
    "metadata": [{}, {"a": "b"}, {"a": 1}],
    "other": ["x"],
}
ODD: list[Any] = [None, 5, 0.5, True, [], {}, "\ud800", "x"]


def verdict(take: Any, body: Any) -> Any:
    try:
        return take(body)
    except serializers.ValidationError as error:
        return error.get_full_details()


def judged(body: Any) -> Any:
    """The verdict of the serializer's own machinery."""
    return verdict(super(TransferSerializer, TransferSerializer).take, body)


@pytest.mark.parametrize("name", VALUES)
def test_each_value_is_judged_the_same(name: str) -> None:
    for value in [*VALUES[name], *ODD]:
        body = {**GOOD, name: value}
        assert verdict(TransferSerializer.take, body) == judged(body), body


@given(
    st.fixed_dictionaries({}, optional={n: st.sampled_from([*v, *ODD]) for n, v in VALUES.items()})
)
def test_any_members_are_judged_the_same(body: dict[str, Any]) -> None:
    assert verdict(TransferSerializer.take, body) == judged(body)


@given(text=st.text(), name=st.sampled_from(["to_user_email", "amount", "currency", "description"]))
def test_any_text_is_judged_the_same(text: str, name: str) -> None:
    body = {**GOOD, name: text}
    assert verdict(TransferSerializer.take, body) == judged(body)


@pytest.mark.parametrize("body", [None, [], "x", 5, {}, [GOOD]])
def test_what_is_no_transfer_is_judged_the_same(body: Any) -> None:
    assert verdict(TransferSerializer.take, body) == judged(body)


def test_a_transfer_to_an_address_takes_the_quick_way() -> None:
    body = {**GOOD, "currency": "USD", "description": "tea"}
    assert _plain(body) == {**body, "to_user_email": "ann@example.com", "hold": False}
    assert issubclass(TransferSerializer, StrictSerializer)


def stored_fingerprint(method: str, path: str, body: dict[str, Any]) -> bytes:
    """As the first release computed it, and stored it."""
    content = {name: value for name, value in body.items() if name != "idempotency_key"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{method} {path}\n{canonical}".encode()).digest()


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(
    body=st.dictionaries(
        st.text() | st.just("idempotency_key"),
        st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    )
)
def test_a_fingerprint_never_changes(body: dict[str, Any]) -> None:
    told = fingerprint(method="POST", path="/api/x/", body=body)
    assert told == stored_fingerprint("POST", "/api/x/", body)


@given(body=st.dictionaries(st.text(), st.text()))
def test_nor_does_one_of_texts(body: dict[str, str]) -> None:
    told = fingerprint(method="POST", path="/api/x/", body=body)
    assert told == stored_fingerprint("POST", "/api/x/", body)


@pytest.mark.parametrize(
    "text", ["\x7f", "\x1f", "\b\f\n\r\t", '"\\/', "é", "\ud800", "\U0001f600"]
)
def test_nor_does_one_of_odd_text(text: str) -> None:
    for body in ({"a": text}, {text: "a", "b": "c"}):
        told = fingerprint(method="POST", path="/api/x/", body=body)
        assert told == stored_fingerprint("POST", "/api/x/", body)
