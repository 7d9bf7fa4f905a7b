"""Signatures are those of the Standard Webhooks specification, as its library makes and reads them."""

import base64
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from fintech_core.signing import InvalidMessage, new_secret, sign, verify

BODY = b'{"type":"transaction.posted"}'


def _headers(secret: str, *, at: int | None = None, body: bytes = BODY) -> dict[str, str]:
    timestamp = int(time.time()) if at is None else at
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, "msg_1", timestamp, body),
    }


def test_the_specifications_own_example_gives_its_signature() -> None:
    told = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_librarys_receiver_takes_what_is_signed_here_and_the_other_way_round() -> None:
    secret = new_secret()
    assert Webhook(secret).verify(BODY, _headers(secret)) == {"type": "transaction.posted"}
    moment = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", moment, BODY.decode())
    headers = {**_headers(secret, at=int(moment.timestamp())), "webhook-signature": signature}
    assert verify([secret], headers, BODY) == "msg_1"


def test_one_of_several_secrets_and_signatures_is_enough() -> None:
    old, new, strange = new_secret(), new_secret(), new_secret()
    headers = _headers(new)
    headers["webhook-signature"] = (
        f"v1a,xyz {_headers(strange)['webhook-signature']} " + (headers["webhook-signature"])
    )
    assert verify([old, new], headers, BODY) == "msg_1"
    with pytest.raises(InvalidMessage):
        verify([old], headers, BODY)


@pytest.mark.parametrize(
    ("skew", "accepted"), [(-300, True), (300, True), (-301, False), (301, False)]
)
def test_a_message_is_taken_for_five_minutes_either_way(skew: int, accepted: bool) -> None:
    secret = new_secret()
    headers = _headers(secret, at=1_000_000 + skew)
    if accepted:
        assert verify([secret], headers, BODY, now=1_000_000) == "msg_1"
    else:
        with pytest.raises(InvalidMessage):
            verify([secret], headers, BODY, now=1_000_000)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed(missing: str) -> None:
    secret = new_secret()
    headers = _headers(secret)
    del headers[missing]
    with pytest.raises(InvalidMessage):
        verify([secret], headers, BODY)


def test_a_changed_body_id_or_time_is_refused() -> None:
    secret = new_secret()
    headers = _headers(secret)
    later = str(int(headers["webhook-timestamp"]) + 1)
    for changed, body in (
        ({}, BODY + b" "),
        ({"webhook-id": "msg_2"}, BODY),
        ({"webhook-timestamp": later}, BODY),
        ({"webhook-timestamp": "0" + headers["webhook-timestamp"]}, BODY),
        ({"webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")}, BODY),
        ({"webhook-signature": ("v1,x " * 17).strip()}, BODY),
    ):
        with pytest.raises(InvalidMessage):
            verify([secret], {**headers, **changed}, body)


@given(st.text(), st.text(), st.text(), st.binary())
def test_whatever_is_sent_is_refused_and_nothing_breaks(
    message_id: str, timestamp: str, signature: str, body: bytes
) -> None:
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
    }
    with pytest.raises(InvalidMessage):
        verify([new_secret()], headers, body)
    with pytest.raises(InvalidMessage):
        verify([new_secret()], {**headers, "webhook-timestamp": "1"}, body, now=1)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_" + base64.b64encode(b"x" * 23).decode()])
def test_a_short_or_malformed_secret_signs_nothing(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        sign(secret, "msg_1", 1, BODY)
