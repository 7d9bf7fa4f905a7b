"""The quick way to read a body comes to what the strict one does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintech_core import parsers
from fintech_core.exceptions import MalformedJSON

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def verdict(raw: bytes) -> Any:
    """What the document says, with its types, or the words that refuse it."""
    try:
        return repr(parsers.parse_strict(raw))
    except MalformedJSON as error:
        return error.detail


def strict_verdict(raw: bytes) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsers, "_read_compact", lambda _: None)
        return verdict(raw)


@given(document=DOCUMENTS, is_compact=st.booleans(), is_ascii=st.booleans())
def test_a_document_reads_the_same_however_it_is_written(
    document: Any, is_compact: bool, is_ascii: bool
) -> None:
    separators = (",", ":") if is_compact else (", ", ": ")
    text = json.dumps(document, separators=separators, ensure_ascii=is_ascii)
    raw = text.encode(errors="surrogatepass")
    assert verdict(raw) == strict_verdict(raw)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b" ", b"null", b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}', b'{"a":{"b":1,"b":2}}'),
        *(b"NaN", b"[Infinity]", b"[-0]", b"[1.0]", b"[1.10]", b"[1e400]", b"[0.1e1]", b"[01]"),
        *(b"[18446744073709551615]", b"[18446744073709551616]", b"[-9223372036854775809]"),
        *(b'\xef\xbb\xbf{"a":1}', b'"\xff"', b'"\\ud800"', b'"\\/"', b'"\x7f"', b'"\x00"', b"{}x"),
        *(b"[" * 20 + b"]" * 20, b"[" * 21 + b"]" * 21, b"[" * 300 + b"]" * 300),
        b"[" * 2000 + b"]" * 2000,
        b"[" + b'{"a":{}},' * 30 + b"{}]",
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_what_is_odd_is_judged_the_same(raw: bytes) -> None:
    assert verdict(raw) == strict_verdict(raw)


def test_most_bodies_are_read_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(parsers, "_read")
    assert parsers.parse_strict(b'{"amount":"5.00","hold":true,"n":[1,0.5]}')["amount"] == "5.00"
