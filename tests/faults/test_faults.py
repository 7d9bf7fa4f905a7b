"""Parts of a running platform are killed, frozen and emptied in the middle of load.

After each fault every request whose outcome the client did not see is sent again with its key until it
is known. Then what was acknowledged is there, nothing is there twice, and the books agree.
"""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from tests.faults.platform import (
    DEMO_RECIPIENT,
    DEMO_USER,
    ROOT,
    TRANSFER,
    Platform,
    descendants,
    new_key,
    running_platform,
    until,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with running_platform() as started:
        yield started


def survive(platform: Platform, hurt: Callable[[], None], seconds: float = 4.0) -> list[int]:
    """Four clients send while the fault strikes; the oracle above is checked. Returns all statuses."""
    token = platform.sign_in()
    before = Decimal(platform.balance(DEMO_RECIPIENT)), Decimal(platform.balance(DEMO_USER))
    answers: dict[str, int] = {}
    statuses: list[int] = []
    deadline = time.monotonic() + seconds

    def send() -> None:
        while time.monotonic() < deadline:
            key = new_key()
            answers[key] = 0
            answers[key] = platform.transfer(token, key).status
            statuses.append(answers[key])

    clients = [threading.Thread(target=send) for _ in range(4)]
    for client in clients:
        client.start()
    time.sleep(seconds / 3)
    hurt()
    for client in clients:
        client.join()
    platform.wait_until_healthy()

    for key, status in answers.items():
        if status != 201:
            until(lambda key=key: platform.transfer(token, key).status == 201, 30)  # type: ignore[misc]
    moved = Decimal("0.01") * len(answers)
    after = Decimal(platform.balance(DEMO_RECIPIENT)), Decimal(platform.balance(DEMO_USER))
    assert after == (before[0] + moved, before[1] - moved)
    assert platform.manage("ledger_verify", "--full").strip().endswith("agree.")
    assert 201 in statuses
    return statuses


def test_a_web_worker_is_killed_and_nothing_acknowledged_is_lost(platform: Platform) -> None:
    def hurt() -> None:
        victim = platform.web_workers()[0]
        os.kill(victim, signal.SIGKILL)

    statuses = survive(platform, hurt)
    assert set(statuses) <= {0, 201}
    until(lambda: len(platform.web_workers()) == 2, 20)


def test_postgresql_is_killed_and_the_service_heals_by_itself(platform: Platform) -> None:
    statuses = survive(platform, lambda: os.kill(platform.postgres(), signal.SIGKILL), 6.0)
    assert set(statuses) <= {0, 201, 503}
    token = platform.sign_in()
    until(lambda: platform.transfer(token, new_key()).status == 201, 10)


def test_redis_is_killed_and_money_goes_on(platform: Platform) -> None:
    statuses = survive(platform, lambda: os.kill(platform.redis(), signal.SIGKILL))
    assert set(statuses) == {201}


def test_redis_is_frozen_and_no_transfer_waits_for_it(platform: Platform) -> None:
    token, frozen = platform.sign_in(), platform.redis()
    os.kill(frozen, signal.SIGSTOP)
    try:
        for _ in range(8):
            started = time.monotonic()
            assert platform.transfer(token, new_key()).status == 201
            assert time.monotonic() - started < 2
        health = platform.call("GET", "/api/health/")
        assert (health.status, health.body["status"]) == (503, "degraded")
        assert health.body["checks"]["database"] == "ok"
        assert health.body["checks"]["cache"] == "failed"
    finally:
        os.kill(frozen, signal.SIGCONT)
    platform.wait_until_healthy()


def test_slow_bodies_do_not_keep_others_waiting(platform: Platform) -> None:
    """More half-sent requests than the server has threads; a healthy one is answered at once."""
    head = (
        "POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 10\r\n\r\n12345"
    )
    slow = []
    try:
        for _ in range(40):
            client = socket.create_connection(("127.0.0.1", platform.port), timeout=5)
            client.sendall(head.encode())
            slow.append(client)
        time.sleep(0.5)
        started = time.monotonic()
        assert platform.call("GET", "/api/health/live/").status == 200
        assert time.monotonic() - started < 2
    finally:
        for client in slow:
            client.close()


def exchange(platform: Platform, raw: bytes, *, breaks_off: bool = False) -> str:
    """Send bytes, and break off or not; what comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", platform.port), timeout=15) as client:
        client.sendall(raw)
        if breaks_off:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer.decode()


def test_a_request_that_breaks_off_is_not_executed(platform: Platform) -> None:
    """Its body happens to be a whole document; its length says that it is not all there."""
    token, before = platform.sign_in(), platform.balance(DEMO_USER)
    body = json.dumps(
        {"to_user_email": DEMO_RECIPIENT, "amount": "1.00", "idempotency_key": new_key()}
    )
    head = (
        f"POST {TRANSFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\n"
    )
    short = f"{head}Content-Length: 500\r\n\r\n{body}"
    assert " 201 " not in exchange(platform, short.encode(), breaks_off=True)
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n"
    assert "HTTP/1.1 411 " in exchange(platform, chunked.encode(), breaks_off=True)
    both = f"{head}Content-Length: {len(body)}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert " 201 " not in exchange(platform, both.encode(), breaks_off=True)
    assert platform.balance(DEMO_USER) == before


def test_a_key_header_that_comes_twice_is_no_key(platform: Platform) -> None:
    token, key = platform.sign_in(), new_key()
    body = json.dumps({"to_user_email": DEMO_RECIPIENT, "amount": "1.00"})
    raw = (
        f"POST {TRANSFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nIdempotency-Key: {key}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )
    assert "invalid_idempotency_key" in exchange(platform, raw.encode())


def test_a_key_header_that_is_not_ascii_is_no_key_whatever_the_body_says(
    platform: Platform,
) -> None:
    token = platform.sign_in()
    transfer = {"to_user_email": DEMO_RECIPIENT, "amount": "1.00", "idempotency_key": new_key()}
    body = json.dumps(transfer)
    raw = (
        f"POST {TRANSFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nIdempotency-Key: \N{LATIN SMALL LETTER E WITH ACUTE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )
    assert "invalid_idempotency_key" in exchange(platform, raw.encode())


def test_a_body_too_large_is_refused_before_it_is_read(platform: Platform) -> None:
    head = (
        f"POST {TRANSFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "X-Request-ID: big-one\r\nContent-Length: 2000000000\r\n\r\n"
    )
    answer = exchange(platform, head.encode(), breaks_off=True)
    assert "HTTP/1.1 413 " in answer
    assert "x-request-id: big-one" in answer.lower()


def test_a_frozen_database_makes_health_degraded_in_time(platform: Platform) -> None:
    victim = platform.postgres()
    frozen = [victim, *descendants(victim)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(10):
            started = time.monotonic()
            health = platform.call("GET", "/api/health/")
            assert (health.status, health.body["checks"]["database"]) == (503, "failed")
            assert time.monotonic() - started < 6
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    platform.wait_until_healthy()


def test_the_readmes_calls_work_as_they_stand(platform: Platform) -> None:
    """In its own words, but for the port, the token, the keys and the checkout's address."""
    text = README.read_text().partition("## Test it")[0]
    sign_in, send, announce, pay, look = re.findall(r"```\n(curl .*?)```", text, re.DOTALL)
    words = {"localhost:8000": f"localhost:{platform.port}"}
    words |= {"txn-123": new_key(), "top-up-123": new_key()}

    def run(command: str) -> str:
        for word, meant in words.items():
            command = command.replace(word, meant)
        done = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True)
        return done.stdout

    words["YOUR_ACCESS_TOKEN"] = json.loads(run(sign_in))["access"]
    sent = json.loads(run(send))
    assert (sent["status"], sent["amount"]) == ("posted", "50.00")

    before = Decimal(json.loads(run(look))["balance"])
    for _ in range(2):
        words["YOUR_CHECKOUT_URL"] = json.loads(run(announce))["checkout_url"]
    run(pay)
    # Half a second as a rule; more where the machine does other things, too.
    until(lambda: Decimal(json.loads(run(look))["balance"]) == before + 25, 20)


def test_a_provider_that_dies_between_its_answer_and_its_event_still_pays(
    platform: Platform,
) -> None:
    """66.12 makes the simulated provider kill itself; the launcher brings it back, and it remembers."""
    token = platform.sign_in()
    before = Decimal(platform.balance(DEMO_USER))
    body = {"amount": "66.12", "idempotency_key": new_key()}
    intent = platform.call("POST", "/api/payments/intents/", body, token).body
    request = urllib.request.Request(intent["checkout_url"], b"outcome=succeeded")
    with pytest.raises(urllib.error.HTTPError, match="303"):
        urllib.request.build_opener(Refusing).open(request, timeout=10)
    until(lambda: Decimal(platform.balance(DEMO_USER)) == before + Decimal("66.12"), 30)
    launcher = (platform.data / "launcher.txt").read_text()
    assert "Payment simulator was killed by signal 9; started again" in launcher


class Refusing(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the provider is dead by then."""

    def redirect_request(self, *_: object) -> None:
        return None


def test_no_secret_reaches_a_log(platform: Platform) -> None:
    """A marked password, token and key are used well and badly; then every log is searched for them."""
    # Unlike the address below in its letters: a password like one's address is refused.
    password, key = f"nobody's horse stumbles twice {new_key()[:6]}", f"key-{new_key()}"
    platform.call("POST", "/api/auth/login/", {"email": DEMO_USER, "password": password})
    email = f"{new_key()}@example.com"
    platform.call("POST", "/api/auth/register/", {"email": email, "password": password})
    answer = platform.call("POST", "/api/auth/login/", {"email": email, "password": password})
    assert answer.status == 200, answer
    token = platform.sign_in()
    platform.transfer(token, key)
    platform.transfer(token, key, "5.00")
    platform.transfer(token + "x", key)
    platform.call("GET", f"/api/wallet/?access_token={token}")
    body = {"amount": "1.00", "idempotency_key": new_key()}
    intent = platform.call("POST", "/api/payments/intents/", body, token).body
    secrets = [password, key, token, email, answer.body["access"], answer.body["refresh"]]
    secrets += [intent["client_secret"], intent["checkout_url"].rpartition("/")[2]]
    secrets += json.loads((platform.data / "secrets.json").read_text()).values()
    logs = b"".join(path.read_bytes() for path in (platform.data / "logs").iterdir())
    assert b'"route":"/api/auth/login/"' in logs
    assert [secret for secret in secrets if secret.encode() in logs] == []


def test_each_request_leaves_one_line(platform: Platform) -> None:
    token, log = platform.sign_in(), platform.data / "logs" / "web.log"
    before = log.read_bytes().count(b'"event":"request"')
    for number in range(5):
        assert platform.call("GET", "/api/wallet/", token=token).status == 200, number
    until(lambda: log.read_bytes().count(b'"event":"request"') == before + 5, 5)
    [line] = log.read_text().strip().splitlines()[-1:]
    told = json.loads(line)
    assert {"request_id", "user", "method", "route", "status", "duration_ms"} <= set(told)
    assert (told["route"], told["status"]) == ("/api/wallet/", 200)
