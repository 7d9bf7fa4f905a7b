"""Which texts name a person, and what they become."""

from typing import Any

import pytest

from users.identity import InvalidEmail, InvalidPhone, normalize_email, normalize_phone

LONGEST_DOMAIN = ".".join(["d" * 60] * 3)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("mike@example.org", "mike@example.org"),
        ("MIKE@Example.ORG", "mike@example.org"),
        ("a.b+c@example.com", "a.b+c@example.com"),
        ("a@shop.test", "a@shop.test"),
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_has_one_canonical_form(text: str, canonical: str) -> None:
    assert normalize_email(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("mi\u212ae@example.org", id="B105 kelvin sign"),
        pytest.param("\u0130@example.org", id="B107 dotted capital i"),
        pytest.param("a@ex\u0430mple.com", id="B109 cyrillic a"),
        pytest.param("m\u0131ke@example.org", id="M19 dotless i"),
        pytest.param("a@[127.0.0.1]", id="B111 address literal"),
        pytest.param("a@example.com\n", id="B113 newline"),
        pytest.param("a@b.com\r\nBcc: x@y.z", id="B115 header injection"),
        pytest.param("a" * 65 + "@example.com", id="B117 long local part"),
        pytest.param("a" * 64 + "@" + LONGEST_DOMAIN + ".example.com", id="B117 long address"),
        pytest.param(" a@example.com", id="leading blank"),
        pytest.param("a@example.com ", id="trailing blank"),
        pytest.param("a@localhost", id="no dot"),
        pytest.param("a@test", id="bare top level domain"),
        pytest.param('"a b"@example.com', id="quoted"),
        pytest.param("Mike <a@example.com>", id="display name"),
        pytest.param("a@b@example.com", id="two ats"),
        pytest.param("a\x00@example.com", id="nul"),
        pytest.param("", id="empty"),
        pytest.param("@", id="only an at"),
        pytest.param(5, id="number"),
        pytest.param(None, id="none"),
    ],
)
def test_what_is_no_plain_ascii_address_is_refused(text: Any) -> None:
    with pytest.raises(InvalidEmail):
        normalize_email(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("+1 (650) 253-0000", "+16502530000", id="B121"),
        ("+16502530000", "+16502530000"),
        ("+44 20 7946 0958", "+442079460958"),
        ("+5491123456789", "+5491123456789"),
        ("+541123456789", "+541123456789"),
        ("+39 06 1234 5678", "+390612345678"),
    ],
)
def test_a_number_becomes_e164_and_keeps_every_digit(text: str, canonical: str) -> None:
    assert normalize_phone(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("6502530000", id="B123 no country"),
        pytest.param("+16502530000 ext. 9", id="B125 extension"),
        pytest.param("tel:+16502530000", id="B125 uri"),
        pytest.param("+16502530000;isub=1", id="B125 isub"),
        pytest.param("+1 800 FLOWERS", id="B127 vanity"),
        pytest.param("+1650253", id="too short"),
        pytest.param("+1650253000000", id="too long"),
        pytest.param("+9991234567890", id="no such country"),
        pytest.param("\uff0b16502530000", id="full-width plus"),
        pytest.param(
            "+\u0661\u0666\u0665\u0660\u0662\u0665\u0663\u0660\u0660\u0660\u0660", id="arabic"
        ),
        pytest.param("+44 (0) 20 7946 0958", id="a digit would be dropped"),
        pytest.param("++16502530000", id="two pluses"),
        pytest.param("+16502530000\n", id="newline"),
        pytest.param("", id="empty"),
        pytest.param(16502530000, id="number"),
    ],
)
def test_what_is_no_international_number_is_refused(text: Any) -> None:
    with pytest.raises(InvalidPhone):
        normalize_phone(text)
